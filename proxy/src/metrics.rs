//! What the proxy tells Prometheus: the same numbers as the control socket's status, by service and version. A version is a
//! release; deployments have ids of their own, and would leave a series behind each.

mod family;
mod server;

use std::collections::{BTreeMap, BTreeSet};

use cutover_control::{CertificateStatus, MirrorStatus, ServiceStatus};
use prometheus::TextEncoder;
use prometheus::proto::MetricType;

use crate::tls::Handshakes;
use family::Family;

pub(crate) use server::MetricsServer;

/// What a target is busy with, by kind, and how it is.
struct Standing {
    in_flight: [u64; 3],
    healthy: bool,
    ejected: bool,
}

/// What may be in flight.
const KINDS: [&str; 3] = ["request", "stream", "upgraded"];

/// What became of the requests of one version of a service.
#[derive(Debug, Default)]
struct Sums {
    classes: [u64; 5],
    proxy_errors: u64,
    retries: u64,
    request_bytes: u64,
    response_bytes: u64,
    ejections: u64,
    drained: u64,
    cut: [u64; 3],
    latency_sum_us: u64,
    /// By upper bound in milliseconds, not cumulative.
    latency: BTreeMap<u64, u64>,
}

/// The text format of Prometheus (version 0.0.4).
///
/// # Errors
///
/// Never but for a bug: every family has metrics, and every name is fit.
pub(crate) fn render(
    services: &[ServiceStatus],
    handshakes: &Handshakes,
    connections: usize,
) -> prometheus::Result<String> {
    let mut responses = Family::new("responses_total", "Answers of the application, by class of status.");
    let mut failures = Family::new(
        "failures_total",
        "Requests that the proxy answered with 5xx, and answers that were cut off.",
    );
    let mut retries = Family::new("retries_total", "Requests that were sent again.");
    let mut received = Family::new("request_bytes_total", "Bytes of the bodies of requests.");
    let mut sent = Family::new("response_bytes_total", "Bytes of the bodies of answers.");
    let mut seconds = Family::new("response_seconds", "Time from a request to the head of its answer.");
    let mut ejections =
        Family::new("ejections_total", "How often a target was left out because its requests had failed.");
    let mut drained = Family::new("drained_total", "What ended on displaced targets within its time.");
    let mut cut =
        Family::new("cut_total", "What was cut on displaced targets when its time was over, by kind.");
    let mut in_flight = Family::new("in_flight", "What has not ended, by kind.");
    let mut healthy = Family::new("target_healthy", "Whether the target passes its health check.");
    let mut ejected =
        Family::new("target_ejected", "Whether the target is left out because its requests have failed.");
    let mut mirrored = Family::new(
        "mirrored_requests_total",
        "Requests that were sent to a canary only to see, by how they ended, and those that were left out.",
    );
    let mut waiting = Family::new("waiting_requests", "Requests that wait as the service is paused.");
    let mut clients =
        Family::new("connections", "Connections of clients that are open, upgraded ones included twice.");
    clients.gauge(&[], connections as f64);
    let mut shaken = Family::new("handshakes_total", "TLS handshakes of clients, by how they ended.");
    shaken.counter(&[("result", "done")], handshakes.done());
    shaken.counter(&[("result", "failed")], handshakes.failed());
    let mut not_after = Family::new(
        "certificate_not_after_seconds",
        "Until when the certificate for a name is valid, in seconds of Unix time.",
    );
    for service in services {
        let (destination, name) = (service.key.destination.as_str(), service.key.service.as_str());
        let of_service = [("destination", destination), ("service", name)];
        for (version, sums) in by_version(service) {
            let labels = [of_service[0], of_service[1], ("version", version)];
            for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(sums.classes) {
                responses.counter(&[labels[0], labels[1], labels[2], ("class", class)], count);
            }
            failures.counter(&labels, sums.proxy_errors);
            retries.counter(&labels, sums.retries);
            received.counter(&labels, sums.request_bytes);
            sent.counter(&labels, sums.response_bytes);
            seconds.histogram(&labels, &sums.latency, sums.latency_sum_us);
            ejections.counter(&labels, sums.ejections);
            drained.counter(&labels, sums.drained);
            for (kind, count) in KINDS.into_iter().zip(sums.cut) {
                cut.counter(&[labels[0], labels[1], labels[2], ("kind", kind)], count);
            }
        }
        if let Some(canary) = &service.canary {
            for (result, count) in mirror_results(&canary.mirrored) {
                let version = ("version", canary.set.release.as_str());
                mirrored.counter(&[of_service[0], of_service[1], version, ("result", result)], count);
            }
        }
        waiting.gauge(&of_service, service.pause.map_or(0, |pause| pause.waiting) as f64);
        for (certificate, host) in names(service) {
            not_after.gauge(&[of_service[0], of_service[1], ("name", host)], certificate.not_after as f64);
        }
        for ((version, address), target) in by_target(service) {
            let labels = [of_service[0], of_service[1], ("version", version), ("target", &address)];
            for (kind, count) in KINDS.into_iter().zip(target.in_flight) {
                let labels = [labels[0], labels[1], labels[2], labels[3], ("kind", kind)];
                in_flight.gauge(&labels, count as f64);
            }
            healthy.gauge(&labels, f64::from(u8::from(target.healthy)));
            ejected.gauge(&labels, f64::from(u8::from(target.ejected)));
        }
    }
    let families = [
        responses.of(MetricType::COUNTER),
        failures.of(MetricType::COUNTER),
        retries.of(MetricType::COUNTER),
        received.of(MetricType::COUNTER),
        sent.of(MetricType::COUNTER),
        seconds.of(MetricType::HISTOGRAM),
        ejections.of(MetricType::COUNTER),
        drained.of(MetricType::COUNTER),
        cut.of(MetricType::COUNTER),
        mirrored.of(MetricType::COUNTER),
        waiting.of(MetricType::GAUGE),
        in_flight.of(MetricType::GAUGE),
        healthy.of(MetricType::GAUGE),
        ejected.of(MetricType::GAUGE),
        clients.of(MetricType::GAUGE),
        shaken.of(MetricType::COUNTER),
        not_after.of(MetricType::GAUGE),
    ];
    // The encoder takes a family without metrics for a mistake.
    let families: Vec<_> = families.into_iter().filter(|family| !family.get_metric().is_empty()).collect();
    TextEncoder::new().encode_to_string(&families)
}

/// What became of mirrored requests; each is counted in one place.
fn mirror_results(mirrored: &MirrorStatus) -> [(&'static str, u64); 4] {
    let MirrorStatus { requests, server_errors, failures, left_out } = *mirrored;
    let answered = requests.saturating_sub(server_errors + failures);
    [("answered", answered), ("server_error", server_errors), ("failed", failures), ("left_out", left_out)]
}

/// What is shown for each name: of several, the last one.
fn names(service: &ServiceStatus) -> impl Iterator<Item = (&CertificateStatus, &str)> {
    let certificates = service.certificates.iter();
    let names = certificates.flat_map(|shown| shown.names.iter().map(move |name| (name.as_str(), shown)));
    names.collect::<BTreeMap<_, _>>().into_iter().map(|(name, shown)| (shown, name))
}

fn by_version(service: &ServiceStatus) -> BTreeMap<&str, Sums> {
    let mut versions: BTreeMap<&str, Sums> = BTreeMap::new();
    // All sets of a deployment count together: each says the same.
    let mut seen = BTreeSet::new();
    let counted = service.sets().filter(|set| seen.insert(set.deployment.as_str()));
    for set in counted.chain(&service.forgotten) {
        let sums = versions.entry(&set.release).or_default();
        sums.classes.iter_mut().zip(set.classes).for_each(|(sum, count)| *sum += count);
        sums.proxy_errors += set.proxy_errors;
        sums.retries += set.retries;
        sums.request_bytes += set.request_bytes;
        sums.response_bytes += set.response_bytes;
        sums.ejections += set.ejections;
        sums.drained += set.drained;
        sums.cut.iter_mut().zip(set.cut).for_each(|(sum, count)| *sum += count);
        sums.latency_sum_us += set.latency_sum_us;
        for (bound, count) in &set.latency {
            *sums.latency.entry(*bound).or_default() += count;
        }
    }
    versions
}

/// How each target stands, by version and address.
fn by_target(service: &ServiceStatus) -> BTreeMap<(&str, String), Standing> {
    let mut targets = BTreeMap::new();
    for set in service.sets() {
        for target in &set.targets {
            let place = (set.release.as_str(), target.address.to_string());
            let idle = Standing { in_flight: [0; 3], healthy: true, ejected: false };
            let standing = targets.entry(place).or_insert(idle);
            let kinds = [target.requests(), target.streams, target.upgraded];
            standing.in_flight.iter_mut().zip(kinds).for_each(|(sum, count)| *sum += count);
            standing.healthy &= target.healthy;
            standing.ejected |= target.ejected;
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cutover_control::{CanaryStatus, Epoch, PauseStatus, SetStatus, TargetStatus};

    use super::*;

    fn set(deployment: &str, release: &str, requests: u64) -> SetStatus {
        SetStatus {
            targets: vec![TargetStatus {
                healthy: deployment != "d1",
                in_flight: 2,
                streams: 1,
                ..TargetStatus::new(&format!("{deployment}-1"), "172.18.0.2:3000".parse().unwrap())
            }],
            classes: [0, requests, 0, 0, 1],
            proxy_errors: 3,
            request_bytes: 512,
            response_bytes: 1_024,
            drained: 4,
            cut: [0, 1, 0],
            latency_sum_us: 1_500_000,
            latency: vec![(1, requests), (2_500, 1), (u64::MAX, 3)],
            ..SetStatus::new(deployment, release)
        }
    }

    #[test]
    fn versions_are_summed_and_no_series_stands_twice() {
        let service = ServiceStatus {
            active: Some(set("d3", "v2", 10)),
            previous: Some(set("d2", "v1", 20)),
            // The same deployment counts once, another one of the same release is added.
            draining: vec![set("d2", "v1", 20), set("d1", "v1", 5)],
            canary: Some(CanaryStatus {
                set: set("d4", "v3", 1),
                weight: 100,
                held_ms: 5_000,
                mirrored: MirrorStatus { requests: 9, server_errors: 2, failures: 3, left_out: 1 },
            }),
            pause: Some(PauseStatus { left_ms: 1, waiting: 6, refused: 0 }),
            forgotten: vec![SetStatus { retries: 9, ..SetStatus::new("", "v1") }],
            certificates: vec![CertificateStatus {
                names: vec!["a.example".into(), "*.b.example".into()],
                issuer: "CN=ca".into(),
                not_before: 1,
                not_after: 1_800_000_000,
                ordered_from: None,
            }],
            ..ServiceStatus::new(
                "production/shop".parse().unwrap(),
                Epoch { journal: "j".into(), sequence: 1 },
            )
        };
        let text = render(&[service], &Handshakes::default(), 7).unwrap();
        let of_v1 = r#"{destination="production",service="shop",version="v1""#;
        for line in [
            format!(r#"cutover_proxy_responses_total{{class="2xx",{}}} 25"#, of_v1.trim_start_matches('{')),
            format!("cutover_proxy_failures_total{of_v1}}} 6"),
            format!(r#"cutover_proxy_response_seconds_bucket{of_v1},le="0.001"}} 25"#),
            format!(r#"cutover_proxy_response_seconds_bucket{of_v1},le="2.5"}} 27"#),
            format!(r#"cutover_proxy_response_seconds_bucket{of_v1},le="+Inf"}} 33"#),
            format!("cutover_proxy_response_seconds_sum{of_v1}}} 3"),
            format!("cutover_proxy_retries_total{of_v1}}} 9"),
            format!("cutover_proxy_request_bytes_total{of_v1}}} 1024"),
            format!("cutover_proxy_response_bytes_total{of_v1}}} 2048"),
            format!("cutover_proxy_drained_total{of_v1}}} 8"),
            format!(r#"cutover_proxy_cut_total{of_v1},kind="stream"}} 2"#),
            format!(r#"cutover_proxy_in_flight{of_v1},target="172.18.0.2:3000",kind="request"}} 3"#),
            format!(r#"cutover_proxy_in_flight{of_v1},target="172.18.0.2:3000",kind="stream"}} 3"#),
            format!(r#"cutover_proxy_target_healthy{of_v1},target="172.18.0.2:3000"}} 0"#),
            r#"cutover_proxy_mirrored_requests_total{destination="production",service="shop",version="v3",result="answered"} 4"#.to_owned(),
            r#"cutover_proxy_mirrored_requests_total{destination="production",service="shop",version="v3",result="failed"} 3"#.to_owned(),
            r#"cutover_proxy_waiting_requests{destination="production",service="shop"} 6"#.to_owned(),
            "cutover_proxy_connections 7".to_owned(),
            r#"cutover_proxy_handshakes_total{result="failed"} 0"#.to_owned(),
            r#"cutover_proxy_certificate_not_after_seconds{destination="production",service="shop",name="*.b.example"} 1800000000"#.to_owned(),
        ] {
            let sorted = |line: &str| {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let mut labels: Vec<_> = name.split(['{', ',', '}']).map(str::to_owned).collect();
                labels.sort();
                (labels, value.to_owned())
            };
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            assert_eq!(lines.filter(|known| sorted(known) == sorted(&line)).count(), 1, "{line}\n{text}");
        }
    }

    #[test]
    fn a_proxy_without_services_has_something_to_say() {
        assert!(render(&[], &Handshakes::default(), 0).unwrap().contains("cutover_proxy_connections 0"));
    }
}
