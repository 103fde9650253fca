//! What is shown of the live replicas, in the words of Prometheus's blackbox exporter.

use std::time::Duration;

use cutover_core::ServiceKey;
use cutover_telemetry::{Error, Gauges, IntCounterVec, Metrics, ShownGauge};

use super::live_replica::LiveReplica;

/// What tells the replicas apart.
const LABELS: [&str; 4] = ["service", "destination", "host", "replica"];

/// What is shown of all of them.
#[derive(Clone, Debug)]
pub struct Families {
    success: Gauges<4>,
    duration: Gauges<4>,
    status: Gauges<4>,
    length: Gauges<4>,
    restarts: IntCounterVec,
}

/// What is shown of one. It is gone once this is dropped.
#[derive(Debug)]
pub(crate) struct Series {
    families: Families,
    values: [String; 4],
    success: ShownGauge<4>,
    duration: ShownGauge<4>,
    /// The status and the length of its last answer; none: that was none over HTTP.
    http: Option<(ShownGauge<4>, ShownGauge<4>)>,
}

impl Families {
    /// Shows them among `metrics`.
    ///
    /// # Errors
    /// Metrics that show them already.
    pub fn new(metrics: &Metrics) -> Result<Self, Error> {
        let gauges = |name, help| metrics.gauges(name, help, LABELS);
        Ok(Self {
            success: gauges(
                "probe_success",
                "Whether the replica has answered well when it was asked last: 1, or 0.",
            )?,
            duration: gauges("probe_duration_seconds", "How long the last question took.")?,
            status: gauges("probe_http_status_code", "The status of the last answer over HTTP.")?,
            length: gauges("probe_http_uncompressed_body_length", "Bytes of the last answer's body.")?,
            restarts: metrics.counters(
                "cutover_replica_restarts_total",
                "Live replicas that were started anew, as they failed their liveness probe.",
                &["service", "destination", "host"],
            )?,
        })
    }

    /// One was started anew.
    pub(crate) fn count_restart(&self, key: &ServiceKey, host: &str) {
        self.restarts.with_label_values(&[key.service.as_str(), key.destination.as_str(), host]).inc();
    }

    /// What is shown of a replica from now on.
    pub(crate) fn show(&self, key: &ServiceKey, live: &LiveReplica) -> Series {
        let ServiceKey { service, destination } = key;
        let values = [service.as_str(), destination.as_str(), live.host.name.as_str(), &live.replica.name];
        Series {
            families: self.clone(),
            success: self.success.show(values),
            duration: self.duration.show(values),
            http: None,
            values: values.map(str::to_owned),
        }
    }
}

impl Series {
    /// Shows what came of a question: whether it was answered well, how long it took, and the status of an answer over HTTP with
    /// the bytes of its body.
    pub(crate) fn set(&mut self, is_good: bool, took: Duration, http: Option<(u16, usize)>) {
        self.success.set(if is_good { 1.0 } else { 0.0 });
        self.duration.set(took.as_secs_f64());
        let Some((status, length)) = http else {
            self.http = None;
            return;
        };
        let Self { families, values, http, .. } = self;
        let (shown, bytes) = http.get_or_insert_with(|| {
            let values = values.each_ref().map(String::as_str);
            (families.status.show(values), families.length.show(values))
        });
        shown.set(status.into());
        bytes.set(u32::try_from(length).unwrap_or(u32::MAX).into());
    }
}
