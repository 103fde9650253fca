//! Trace context (W3C Recommendation, level 1): which trace a request belongs to. The proxy has no span of its own, so what
//! a client sends is passed on as it is.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::request_id::RequestIds;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of a `traceparent` of version 00, and the shortest of any version.
const LENGTH: usize = 55;

/// Passes a valid trace context on; in the place of none, or of one that is not valid, a new one is started where `ids` are
/// to start traces. A `tracestate` belongs to its `traceparent`, and goes with it.
pub(crate) fn forward(headers: &mut HeaderMap, ids: &RequestIds) {
    if trace_id(headers).is_some() {
        return;
    }
    headers.remove(&TRACESTATE);
    match ids.trace_parent() {
        Some(started) => headers.insert(TRACEPARENT, started),
        None => headers.remove(&TRACEPARENT),
    };
}

/// The trace that a request belongs to, as 32 hexadecimal digits. None: it has no valid context, or several.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(&TRACEPARENT).iter();
    match (given.next(), given.next()) {
        (Some(parent), None) => trace_id_of(parent.as_bytes()),
        _ => None,
    }
}

/// A `traceparent` that starts a trace (version 00, sampled), of random bits.
pub(crate) fn start(trace: u128, span: u64) -> Option<HeaderValue> {
    // All zeros would be no id (3.2.2.3, 3.2.2.4).
    let text = format!("00-{:032x}-{:016x}-01", trace.max(1), span.max(1));
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

/// The trace id in a valid `traceparent` of any version (3.2.2, 4.1): what comes after the flags belongs to later versions.
pub(crate) fn trace_id_of(parent: &[u8]) -> Option<&str> {
    let is_hex = |digits: &[u8]| digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |digits: &[u8]| is_hex(digits) && digits.iter().any(|&byte| byte != b'0');
    let (known, rest) = parent.split_at_checked(LENGTH)?;
    let (version, known) = known.split_at_checked(2)?;
    let whole = match version {
        b"ff" => false,
        b"00" => rest.is_empty(),
        _ => is_hex(version) && rest.first().is_none_or(|&byte| byte == b'-'),
    };
    let mut fields = known.strip_prefix(b"-")?.split(|&byte| byte == b'-');
    let (trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?);
    let sound = (trace.len(), span.len(), flags.len()) == (32, 16, 2) && is_id(trace) && is_id(span);
    (whole && sound && is_hex(flags)).then(|| str::from_utf8(trace).ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn sent(fields: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn a_valid_context_of_any_version_is_passed_on_as_it_is() {
        for parent in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-00"),
            format!("01-{TRACE}-00f067aa0ba902b7-ff"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes.later"),
            format!("fe-{TRACE}-00f067aa0ba902b7-01-"),
        ] {
            let before = sent(&[("traceparent", &parent), ("tracestate", "a=1"), ("tracestate", "b=2")]);
            for ids in [RequestIds::new(false), RequestIds::new(true)] {
                let mut headers = before.clone();
                forward(&mut headers, &ids);
                assert_eq!(headers, before, "{parent}");
            }
            assert_eq!(trace_id(&before), Some(TRACE));
        }
    }

    #[test]
    fn an_invalid_context_goes_and_its_state_with_it() {
        let zeros = "0".repeat(32);
        let wrong = [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-1"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7-011"),
            format!("01-{TRACE}-00f067aa0ba902b7-01.more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("0g-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-0G"),
            format!("00-{TRACE}-00F067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}0-0f067aa0ba902b7-01"),
            format!("00_{TRACE}_00f067aa0ba902b7_01"),
            format!("00 {TRACE}-00f067aa0ba902b7-01"),
            format!("00--{TRACE}00f067aa0ba902b7-01"),
        ];
        for parent in wrong {
            let mut headers = sent(&[("traceparent", &parent), ("tracestate", "a=1")]);
            assert_eq!(trace_id(&headers), None, "{parent}");
            forward(&mut headers, &RequestIds::new(false));
            assert!(headers.is_empty(), "{parent}");
        }
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let mut twice = sent(&[("traceparent", &good), ("traceparent", &good)]);
        forward(&mut twice, &RequestIds::new(false));
        assert!(twice.is_empty());
        let mut alone = sent(&[("tracestate", "a=1")]);
        forward(&mut alone, &RequestIds::new(false));
        assert!(alone.is_empty());
    }

    #[test]
    fn what_is_started_is_valid_sampled_and_differs() {
        let ids = RequestIds::new(true);
        let mut seen = Vec::new();
        for fields in [&[][..], &[("traceparent", "none"), ("tracestate", "a=1")]] {
            let mut headers = sent(fields);
            forward(&mut headers, &ids);
            assert_eq!(headers.len(), 1);
            assert!(headers[&TRACEPARENT].to_str().unwrap().ends_with("-01"));
            seen.push(trace_id(&headers).unwrap().to_owned());
        }
        assert_ne!(seen[0], seen[1]);
        assert!(trace_id_of(start(0, 0).unwrap().as_bytes()).is_some());
    }
}
