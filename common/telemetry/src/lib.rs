//! What a program of Cutover tells the people who run it: log lines on standard error, traces over OTLP, and a
//! Prometheus endpoint. A program starts [`Telemetry`] first and shuts it down last.

mod config;
mod endpoint;
mod error;
mod gauges;
mod metrics;
mod subscriber;
pub mod traceparent;

pub use config::Config;
pub use endpoint::Endpoint;
pub use error::Error;
pub use gauges::{Gauges, ShownGauge};
pub use metrics::{Metrics, Running, TaskResult};
pub use prometheus::{IntCounter, IntCounterVec};

use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;

/// How long [`Telemetry::shutdown`] waits for the last spans to leave. A collector that is down mustn't hold up a
/// program that is being stopped.
const FLUSH: Duration = Duration::from_secs(3);

/// The running telemetry of one program.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    endpoint: Option<Endpoint>,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Installs the subscriber of the process and, where `config` asks for them, the export of traces and the metrics
    /// endpoint. `program` is the name of the service in traces (`service.name` of OpenTelemetry's conventions).
    ///
    /// # Errors
    /// When the filter or the collector's address can't be read, the endpoint's address can't be bound, or a subscriber
    /// is installed already: there is one for each process.
    pub async fn start(program: &str, config: Config) -> Result<Self, Error> {
        let metrics = Metrics::new()?;
        let endpoint = match config.metrics {
            Some(address) => Some(Endpoint::serve(address, metrics.clone()).await?),
            None => None,
        };
        let traces = subscriber::install(program, &config)?;
        if let Some(endpoint) = &endpoint {
            tracing::info!(address = %endpoint.address(), "metrics are served at /metrics");
        }
        Ok(Self { metrics, endpoint, traces })
    }

    /// The metrics of the program, to be handed to its parts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The metrics endpoint, where one was asked for.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// Sends the spans that are still held and stops the endpoint; gives up on a silent collector after 3 s.
    pub async fn shutdown(self) {
        let Some(traces) = self.traces else { return };
        // The library's shutdown blocks its thread until the exporting task, which needs this runtime, has answered.
        let flushed = tokio::task::spawn_blocking(move || traces.shutdown());
        match tokio::time::timeout(FLUSH, flushed).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces were not delivered"),
            Ok(Err(error)) => tracing::warn!(%error, "the export of traces ended in an unexpected way"),
            Err(_) => {
                tracing::warn!("the collector did not take the last traces within {} s", FLUSH.as_secs())
            }
        }
    }
}
