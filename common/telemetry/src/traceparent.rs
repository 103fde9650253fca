//! A trace across programs: the `traceparent` header of W3C Trace Context, as text, for whatever carries headers.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header's name.
pub const HEADER: &str = "traceparent";

/// The header's value for what `span` causes elsewhere; none where no traces are exported.
pub fn of(span: &Span) -> Option<String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    headers.remove(HEADER)
}

/// Makes `span` a child of the span that `value` names. To be called before the span is first entered. A value that
/// can't be read is left alone, as the recommendation asks (section 3.2.2.3: start a new trace).
pub fn continue_in(span: &Span, value: &str) {
    let headers = HashMap::from([(HEADER.to_owned(), value.to_owned())]);
    let context = TraceContextPropagator::new().extract(&headers);
    if context.span().span_context().is_valid() {
        // Refused only where no traces are exported, and nothing is lost there.
        let _ = span.set_parent(context);
    }
}
