//! Traffic to the new replicas of one host.

use std::time::Duration;

use cutover_control::{
    ApplicationProtocol, Canary, Choice, Ejection, HealthCheck, Port, Refusal, Route, ServiceStatus, Switch,
    Target, Timeouts, TlsPolicy, Upstream,
};
use cutover_core::{CanaryStep, Epoch, Plan, Replica, Settings, Span};
use cutover_fleet::{LAST_LINES, Machine, epoch_of, key_of};

use crate::Error;

/// Sends the traffic of a host to `replicas`, at which its proxy looks once more, and answers with the deployment that served
/// before. Done again, it changes nothing.
pub(crate) async fn switch(
    machine: &Machine,
    plan: &Plan,
    epoch: &Epoch,
    replicas: &[Replica],
) -> Result<Option<String>, Error> {
    if replicas.is_empty() {
        let (deployment, host) = (plan.deployment.clone(), machine.name().clone());
        return Err(Error::NoReplicas { deployment, host });
    }
    let call = call(plan, epoch, replicas);
    match set_traffic(machine, plan, replicas, machine.proxy().switch(call)).await? {
        (previous, Some(serving)) if serving == plan.deployment.as_str() => Ok(previous),
        (_, serving) => {
            let (deployment, host) = (plan.deployment.clone(), machine.name().clone());
            Err(Error::NotServing { host, deployment, serving })
        }
    }
}

/// Has the proxy send traffic to `replicas`; where it refuses as one of them isn't ready any more, the error says why.
pub(crate) async fn set_traffic<T>(
    machine: &Machine,
    plan: &Plan,
    replicas: &[Replica],
    asked: impl Future<Output = Result<T, cutover_fleet::Error>>,
) -> Result<T, Error> {
    match asked.await {
        Err(cutover_fleet::Error::Refused { refusal: Refusal::Unready { replica, found }, .. }) => {
            Err(unready(machine, plan, replicas, replica, found).await?)
        }
        asked => Ok(asked?),
    }
}

/// Why a replica that was ready failed its health check: what became of its container tells more, if anything did.
async fn unready(
    machine: &Machine,
    plan: &Plan,
    replicas: &[Replica],
    replica: String,
    found: String,
) -> Result<Error, Error> {
    if let Some(known) = replicas.iter().find(|known| known.name == replica)
        && let Some(trouble) = machine.trouble(known).await?
    {
        return Ok(Error::Trouble(Box::new(trouble)));
    }
    let last_lines = machine.last_lines(&replica, LAST_LINES).await;
    let host = machine.name().clone();
    let check = plan.release.settings.readiness.check.plain_path();
    let check = check.map_or_else(|| "a connection to its port".to_owned(), |path| format!("GET {path}"));
    Ok(Error::NotReady { replica, host, check, found, last_lines })
}

/// The deployment that gets the traffic.
pub(crate) fn serving(status: Option<&ServiceStatus>) -> Option<&str> {
    status?.active.as_ref().map(|active| active.deployment.as_str())
}

/// A step of a canary as the proxy is told of it.
pub(crate) fn canary_call(
    plan: &Plan,
    epoch: &Epoch,
    replicas: &[Replica],
    step: &CanaryStep,
    hold: Span,
) -> Canary {
    let canary = &plan.release.settings.canary;
    Canary {
        switch: call(plan, epoch, replicas),
        weight: step.weight,
        hold_ms: millis(hold.0),
        sticky: canary.sticky,
        choose: canary.choose.as_ref().map(chosen),
        mirror: step.mirror,
    }
}

fn chosen(choice: &cutover_core::Choice) -> Choice {
    match choice.clone() {
        cutover_core::Choice::Header { name, value } => Choice::Header { name, value },
        cutover_core::Choice::Cookie { name, value } => Choice::Cookie { name, value },
    }
}

/// The switch as the proxy is told of it.
fn call(plan: &Plan, epoch: &Epoch, replicas: &[Replica]) -> Switch {
    let settings = &plan.release.settings;
    let routing = &settings.proxy;
    let targets =
        replicas.iter().map(|replica| Target { replica: replica.name.clone(), address: replica.address });
    Switch {
        key: key_of(&plan.key),
        epoch: epoch_of(epoch),
        deployment: plan.deployment.to_string(),
        release: plan.release.id().to_string(),
        route: Route {
            hosts: routing.hosts.clone(),
            path_prefixes: routing.path_prefixes.clone(),
            strip_path_prefix: routing.strip_path_prefix && !routing.path_prefixes.is_empty(),
        },
        targets: targets.collect(),
        ports: routing.ports.iter().map(port).collect(),
        health: Some(health_check(settings)),
        timeouts: Timeouts {
            response_ms: at_least_1_ms(routing.response_timeout),
            connect_ms: at_least_1_ms(routing.connect_timeout),
            idle_ms: none_or_at_least_1_ms(routing.idle_timeout),
            total_ms: none_or_at_least_1_ms(routing.total_timeout),
        },
        max_request_body: routing.max_request_body,
        upstream: Upstream {
            slow_start_ms: millis(routing.slow_start.0),
            max_connections: routing.max_connections,
            max_idle: routing.max_idle,
            application_protocol: spoken(routing.protocol),
            ejection: Ejection {
                failures: routing.ejection.failures,
                base_ms: at_least_1_ms(routing.ejection.base_time),
                max_ms: at_least_1_ms(routing.ejection.max_time),
            },
        },
        tls: routing
            .tls
            .as_ref()
            .map(|tls| TlsPolicy { redirect: tls.redirect, hsts_seconds: tls.hsts.0.as_secs() }),
        drain_ms: millis(settings.timeouts.drain.0),
        drain_streams_ms: settings.timeouts.drain_streams.map(|span| millis(span.0)),
    }
}

fn health_check(settings: &Settings) -> HealthCheck {
    let (readiness, check) = (&settings.readiness, &settings.proxy.health_check);
    let interval_ms = at_least_1_ms(check.period.unwrap_or(readiness.period));
    let timeout_ms = at_least_1_ms(check.timeout.unwrap_or(readiness.timeout));
    // What a proxy can't ask, it leaves to the prober.
    let asked = readiness.check.plain_path().map_or_else(
        || HealthCheck::of_connection(interval_ms, timeout_ms),
        |path| HealthCheck::new(path, interval_ms, timeout_ms),
    );
    HealthCheck {
        // What doesn't serve yet has the time that readiness has.
        first_timeout_ms: check.timeout.map(|_| at_least_1_ms(readiness.timeout)),
        failures: check.failures,
        successes: check.successes,
        ..asked
    }
}

fn port(port: &cutover_core::Port) -> Port {
    Port {
        number: port.number,
        route: Route {
            hosts: port.hosts.clone(),
            path_prefixes: port.path_prefixes.clone(),
            strip_path_prefix: port.strip_path_prefix && !port.path_prefixes.is_empty(),
        },
        application_protocol: spoken(port.protocol),
    }
}

const fn spoken(protocol: cutover_core::ApplicationProtocol) -> ApplicationProtocol {
    match protocol {
        cutover_core::ApplicationProtocol::Http1 => ApplicationProtocol::Http1,
        cutover_core::ApplicationProtocol::H2c => ApplicationProtocol::H2c,
    }
}

fn none_or_at_least_1_ms(span: Span) -> u64 {
    if span.is_zero() { 0 } else { at_least_1_ms(span) }
}

/// The proxy counts in whole milliseconds, and refuses waits of no time at all.
fn at_least_1_ms(span: Span) -> u64 {
    millis(span.0).max(1)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use cutover_core::{JournalId, Routing};

    use super::*;
    use crate::fixture::plan;

    #[test]
    fn the_proxy_is_told_all_that_the_release_says() {
        let plan = plan();
        let epoch = Epoch { journal: JournalId("j".into()), sequence: 7 };
        let replicas = ["172.17.0.2:8080", "172.17.0.3:8080"]
            .map(|address| Replica { name: format!("shop@{address}"), address: address.parse().unwrap() });
        let switch = call(&plan, &epoch, &replicas);
        assert_eq!(switch.key.to_string(), "production/shop");
        assert_eq!((switch.epoch.journal.as_str(), switch.epoch.sequence), ("j", 7));
        assert_eq!(switch.deployment, "01jd0000000000000000000000");
        assert_eq!(switch.release, plan.release.id().as_str());
        assert_eq!(switch.route.hosts, ["shop.example.com"]);
        assert_eq!(switch.route.path_prefixes, ["/shop"]);
        assert!(switch.route.strip_path_prefix);
        let [cable, grpc] = switch.ports.as_slice() else { panic!("{:?}", switch.ports) };
        let route = Route {
            path_prefixes: vec!["/cable".into()],
            strip_path_prefix: true,
            hosts: vec!["shop.example.com".into()],
        };
        let expected = Port { number: 8081, route, application_protocol: ApplicationProtocol::Http1 };
        assert_eq!(*cable, expected);
        let route = Route { hosts: vec!["grpc.example.com".into()], ..Route::default() };
        let expected = Port { number: 50_051, route, application_protocol: ApplicationProtocol::H2c };
        assert_eq!(*grpc, expected);
        let addresses: Vec<_> = switch.targets.iter().map(|target| target.address.to_string()).collect();
        assert_eq!(addresses, ["172.17.0.2:8080", "172.17.0.3:8080"]);
        let usual = HealthCheck::new("/up?deep=1", 2_000, 3_000);
        let health = HealthCheck { first_timeout_ms: Some(1), failures: 5, successes: 2, ..usual };
        assert_eq!(switch.health, Some(health));
        let timeouts = Timeouts { response_ms: 60_000, connect_ms: 500, idle_ms: 1, total_ms: 300_000 };
        assert_eq!((switch.timeouts, switch.drain_ms), (timeouts, 0));
        assert_eq!(switch.drain_streams_ms, Some(600_000));
        assert_eq!(switch.max_request_body, Some(1024));
        let upstream = Upstream {
            slow_start_ms: 20_000,
            max_connections: Some(5),
            max_idle: None,
            application_protocol: ApplicationProtocol::H2c,
            ejection: Ejection { failures: 9, base_ms: 1_000, max_ms: 10_000 },
        };
        assert_eq!(switch.upstream, upstream);
        assert_eq!(switch.tls, Some(TlsPolicy { redirect: true, hsts_seconds: 60 }));
    }

    #[test]
    fn a_proxy_connects_where_it_can_not_ask_the_same() {
        let mut plan = plan();
        let asked = |plan: &Plan| health_check(&plan.release.settings);
        assert!(!asked(&plan).connect_only);
        plan.release.settings.readiness.check = cutover_core::Check::Tcp { port: Some(5432) };
        let expected = HealthCheck {
            first_timeout_ms: Some(1),
            failures: 5,
            successes: 2,
            ..HealthCheck::of_connection(2_000, 3_000)
        };
        assert_eq!(asked(&plan), expected);
    }

    #[test]
    fn what_is_as_usual_asks_for_nothing_that_an_older_proxy_lacks() {
        let mut plan = plan();
        plan.release.settings.proxy = Routing::default();
        let epoch = Epoch { journal: JournalId("j".into()), sequence: 7 };
        let switch = call(&plan, &epoch, &[]);
        assert_eq!((switch.route, switch.ports), (Route::default(), Vec::new()));
        assert_eq!((switch.timeouts, switch.max_request_body), (Timeouts::of_response(30_000), None));
        assert_eq!((switch.tls, switch.upstream), (None, Upstream::default()));
        assert_eq!(switch.health, Some(HealthCheck::new("/up?deep=1", 1_000, 1)));
    }
}
