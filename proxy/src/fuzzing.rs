//! What `proxy/fuzz` throws bytes at: each function checks what must be true whatever they are, and panics where it isn't.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use cutover_control::Route;
use hyper::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

use crate::forwarded::{self, Hop};
use crate::head::host_name;
use crate::path_prefix::PathPrefix;
use crate::proxy_protocol::{MAX_HEADER, Unread, parse};
use crate::request_id::RequestIds;
use crate::{route, trace_context};

pub fn proxy_protocol(bytes: &[u8]) {
    match parse(bytes) {
        Ok(header) => {
            assert!(header.length <= bytes.len().min(MAX_HEADER));
            assert_eq!(parse(&bytes[..header.length]), Ok(header), "what follows was looked at");
            assert_eq!(
                parse(&bytes[..header.length - 1]),
                Err(Unread::NeedMore),
                "it is longer than it has to be"
            );
        }
        Err(Unread::NeedMore) => assert!(bytes.len() < MAX_HEADER, "it never ends"),
        Err(Unread::Malformed(_)) => {}
    }
}

pub fn trace_context(bytes: &[u8]) {
    let mut sent = HeaderMap::new();
    for value in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            sent.append(HeaderName::from_static("traceparent"), value);
        }
    }
    sent.append(HeaderName::from_static("tracestate"), HeaderValue::from_static("a=1"));
    let is_valid = trace_context::trace_id(&sent).is_some();
    for starts in [false, true] {
        let mut headers = sent.clone();
        trace_context::forward(&mut headers, &RequestIds::new(starts));
        assert_eq!(headers == sent, is_valid, "{sent:?} became {headers:?}");
        assert_eq!(trace_context::trace_id(&headers).is_some(), is_valid || starts);
        assert!(is_valid || headers.len() == usize::from(starts));
    }
}

pub fn forwarded(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let host = lines.next().and_then(|host| str::from_utf8(host).ok()).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for value in lines.filter_map(|value| HeaderValue::from_bytes(value).ok()) {
        headers.append(FORWARDED, value);
    }
    let hop = Hop { client: "2001:db8::1", protocol: "https", host };
    forwarded::append(&mut headers, &hop);
    assert!(headers.len() < 2);
    if let Some(hops) = headers.get(FORWARDED) {
        assert!(hops.as_bytes().split(|byte| *byte == b';').count() > 2, "the hop is not in it");
        // Whoever comes next can go on from it.
        forwarded::append(&mut headers, &hop);
        assert_eq!(headers.len(), 1);
    }
}

pub fn routes(host: &str, prefix: &str, path: &str) {
    let given = Route {
        hosts: vec![host.to_owned()],
        path_prefixes: vec![prefix.to_owned()],
        strip_path_prefix: true,
    };
    host_name(host);
    if let Ok(normal) = route::normal(&given) {
        assert_eq!(route::normal(&normal).as_ref(), Ok(&normal), "it has two forms");
        assert!(route::common(&normal, &normal).is_some());
    }
    let (Some(normal), Ok(path)) = (PathPrefix::normal(prefix), path.parse::<PathAndQuery>()) else { return };
    let prefix = PathPrefix::new(&normal);
    let climbs = prefix.climbs(path.path());
    if prefix.takes(path.path()) {
        let rest = prefix.strip(&path).expect("what it takes can be stripped");
        assert!(rest.as_str().starts_with('/') || prefix.is_root());
        assert_eq!(rest.query(), path.query());
        assert!(climbs || prefix.is_root() || !rest.path().split('/').any(|segment| segment == ".."));
    }
}
