//! The one subscriber of the process: log lines on standard error, spans to the collector.

use std::io::IsTerminal;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::SdkTracerProvider;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::{Config, Error};

/// Installs the subscriber; the provider of the exported traces is returned so that it can be flushed.
pub(crate) fn install(program: &str, config: &Config) -> Result<Option<SdkTracerProvider>, Error> {
    let traces = config.collector.as_deref().map(|collector| provider(program, collector)).transpose()?;
    // Only our own spans: those of the exporter's HTTP client would be exported too, and make new ones.
    let exported = traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("cutover"))
            .with_filter(Targets::new().with_target("cutover", LevelFilter::INFO))
    });
    tracing_subscriber::registry().with(exported).with(lines(&config.filter)?).try_init()?;
    Ok(traces)
}

/// Lines for people on a terminal, one JSON object per line for whatever else reads standard error.
fn lines<S>(filter: &str) -> Result<Box<dyn Layer<S> + Send + Sync>, Error>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| Error::Filter { filter: filter.to_owned(), source })?;
    let layer = fmt::layer().with_writer(std::io::stderr);
    Ok(if std::io::stderr().is_terminal() {
        layer.with_target(false).with_filter(filter).boxed()
    } else {
        layer.json().flatten_event(true).with_filter(filter).boxed()
    })
}

fn provider(program: &str, collector: &str) -> Result<SdkTracerProvider, Error> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .build()
        .map_err(|source| Error::Exporter { endpoint: collector.to_owned(), source })?;
    let resource = Resource::builder()
        .with_service_name(program.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    // The library's default processor exports from a thread of its own, where hyper finds no runtime.
    let batches = BatchSpanProcessor::builder(exporter, Tokio).build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_span_processor(batches).build())
}
