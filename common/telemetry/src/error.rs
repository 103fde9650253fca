//! Why telemetry could not start.

use std::net::SocketAddr;

/// A reason why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable of the environment holds something that can't be used.
    #[error("{variable}={value}: {expected}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The log filter can't be read.
    #[error(
        "CUTOVER_LOG={filter}: not a filter; write a level (info) or targets with levels (cutover_bus=debug,info)"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter of traces can't be made.
    #[error("can't export traces to {endpoint}")]
    Exporter {
        /// The collector's address as given.
        endpoint: String,
        /// The reason.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// A subscriber is installed already.
    #[error("telemetry was started twice in one process")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
    /// The metrics endpoint's address can't be bound.
    #[error("can't serve metrics on {address}: choose another address with CUTOVER_METRICS")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// A metric can't be registered.
    #[error("can't register the metrics")]
    Metrics(#[from] prometheus::Error),
}
