//! What a Traefik tells Prometheus, as far as it is needed, by set.

use std::collections::{BTreeMap, HashMap};

use cutover_control::SetStatus;

use crate::drive::traefik_config::{FRESH, PROVIDER};

/// What was counted for a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    classes: [u64; 5],
    response_bytes: u64,
    seconds: f64,
    /// By upper bound in milliseconds; cumulative.
    latency: BTreeMap<u64, u64>,
}

/// What was counted for a set, on and on: Traefik forgets a set that it no longer routes, and all when it is started anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// What it had said before it forgot.
    before: Counts,
    last: Counts,
}

impl Tally {
    /// Takes in what it says now.
    pub(super) fn take(&mut self, now: Option<Counts>) {
        let now = now.unwrap_or_default();
        if now.requests() < self.last.requests() {
            self.before.add(&self.last);
        }
        self.last = now;
    }

    pub(super) fn fill(&self, status: &mut SetStatus) {
        let mut all = self.before.clone();
        all.add(&self.last);
        all.fill(status);
    }
}

impl Counts {
    fn requests(&self) -> u64 {
        self.classes.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.classes.iter_mut().zip(other.classes).for_each(|(sum, count)| *sum += count);
        self.response_bytes += other.response_bytes;
        self.seconds += other.seconds;
        for (bound, count) in &other.latency {
            *self.latency.entry(*bound).or_default() += count;
        }
    }

    fn fill(&self, status: &mut SetStatus) {
        status.classes = self.classes;
        status.requests = self.requests();
        // What Traefik answers itself for want of an answer is among them.
        status.server_errors = self.classes[4];
        status.response_bytes = self.response_bytes;
        status.latency_sum_us = (self.seconds * 1e6) as u64;
        let mut below = 0;
        let single = |(bound, count): (&u64, &u64)| {
            (*bound, count.saturating_sub(std::mem::replace(&mut below, *count)))
        };
        status.latency = self.latency.iter().map(single).collect();
    }
}

/// Reads the text format of Prometheus (version 0.0.4).
pub(super) fn read(text: &str) -> HashMap<String, Counts> {
    let mut all: HashMap<String, Counts> = HashMap::new();
    for sample in text.lines().filter_map(Sample::read) {
        let Some(set) = sample.label("service").and_then(|name| name.strip_suffix(PROVIDER)) else {
            continue;
        };
        let counts = all.entry(set.strip_suffix(FRESH).unwrap_or(set).to_owned()).or_default();
        let count = sample.value as u64;
        match sample.name {
            "requests_total" => {
                let class =
                    sample.label("code").and_then(|code| code.chars().next()?.to_digit(10)).unwrap_or(5);
                let at = (class as usize).saturating_sub(1).min(4);
                counts.classes[at] += count;
            }
            "responses_bytes_total" => counts.response_bytes += count,
            "request_duration_seconds_sum" => counts.seconds += sample.value,
            "request_duration_seconds_bucket" => {
                let bound = sample.label("le").and_then(|bound| bound.parse::<f64>().ok());
                let bound = bound.filter(|seconds| seconds.is_finite());
                let bound = bound.map_or(u64::MAX, |seconds| (seconds * 1e3) as u64);
                *counts.latency.entry(bound).or_default() += count;
            }
            _ => {}
        }
    }
    all
}

/// A line: `traefik_service_requests_total{code="200",service="x@file"} 12`.
struct Sample<'a> {
    /// Behind `traefik_service_`.
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (name, rest) = line.strip_prefix("traefik_service_")?.split_once('{')?;
        let (labels, value) = rest.rsplit_once('}')?;
        Some(Self { name, labels, value: value.trim().parse().ok()? })
    }

    /// The values that are asked for have no `"` and no `,`.
    fn label(&self, name: &str) -> Option<&'a str> {
        let mut labels = self.labels.split(',').filter_map(|label| label.split_once("=\""));
        labels.find_map(|(known, value)| (known == name).then(|| value.trim_end_matches('"')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(counts: &Counts) -> SetStatus {
        let mut status = SetStatus::new("d1", "r");
        counts.fill(&mut status);
        status
    }

    #[test]
    fn what_it_forgets_is_not_forgotten() {
        let counts = |requests| Counts { classes: [0, requests, 0, 0, 0], ..Counts::default() };
        let mut tally = Tally::default();
        for now in [Some(counts(3)), Some(counts(5)), None, None, Some(counts(2)), Some(counts(1))] {
            tally.take(now);
        }
        let mut status = SetStatus::new("d1", "r");
        tally.fill(&mut status);
        assert_eq!(status.requests, 5 + 2 + 1);
    }

    #[test]
    fn what_is_said_of_a_set_is_added_up() {
        let text = r#"# TYPE traefik_service_requests_total counter
traefik_service_requests_total{code="200",method="GET",protocol="http",service="p.app.d1@file"} 10
traefik_service_requests_total{code="201",method="POST",protocol="http",service="p.app.d1.fresh@file"} 2
traefik_service_requests_total{code="502",method="GET",protocol="http",service="p.app.d1@file"} 1
traefik_service_requests_total{code="200",method="GET",protocol="http",service="other@docker"} 99
traefik_service_request_duration_seconds_bucket{code="200",service="p.app.d1@file",le="0.1"} 9
traefik_service_request_duration_seconds_bucket{code="200",service="p.app.d1@file",le="+Inf"} 10
traefik_service_request_duration_seconds_sum{code="200",service="p.app.d1@file"} 0.5
traefik_service_responses_bytes_total{code="200",service="p.app.d1@file"} 1.5e+03
"#;
        let all = read(text);
        assert_eq!(all.len(), 1);
        let status = status(&all["p.app.d1"]);
        assert_eq!((status.requests, status.server_errors), (13, 1));
        assert_eq!(status.classes, [0, 12, 0, 0, 1]);
        assert_eq!((status.latency_sum_us, status.response_bytes), (500_000, 1_500));
        assert_eq!(status.latency, [(100, 9), (u64::MAX, 1)]);
    }
}
