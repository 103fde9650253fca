//! What `proxy/fuzz` throws bytes at: each function checks what must be true whatever they are, and panics where it isn't.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::mem::MaybeUninit;
use std::net::Ipv4Addr;

use cutover_control::Route;
use hyper::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

use crate::clients::Client;
use crate::clients::proxy_protocol::{MAX_HEADER, Unread, parse};
use crate::head::forwarded::{self, Hop};
use crate::head::{RequestIds, host_name, trace_context};
use crate::relay::{Arrived, Chunks, MAX_FIELDS, RequestHead};
use crate::routes::{PathPrefix, route};

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

/// What is forwarded is read by the application as one request that has no body, for the host that decided where it goes.
pub fn request_head(bytes: &[u8]) {
    let client = Client::new(Ipv4Addr::LOCALHOST.into(), &[]).unwrap();
    let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let Arrived::Whole(head) = RequestHead::read(bytes, &mut room, &client) else { return };
    assert!(head.length <= bytes.len());
    if !head.is_simple {
        return;
    }
    let (sent, _) = head.forward(&client, &RequestIds::new(true), None);
    let mut fields = [httparse::EMPTY_HEADER; 2 * MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(&sent), Ok(httparse::Status::Complete(sent.len())), "it isn't one request");
    let named = |name: &str| {
        let fields = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| field.value).collect::<Vec<_>>()
    };
    assert_eq!(named("host"), [head.host.as_bytes()]);
    for name in ["content-length", "transfer-encoding", "upgrade", "connection", "te", "expect"] {
        assert!(named(name).is_empty(), "{name}");
    }
    assert_eq!(named("x-forwarded-for"), [b"127.0.0.1"]);
}

/// A body in the chunked coding ends in the same place however it comes.
pub fn chunks(bytes: &[u8]) {
    let mut whole = Chunks::default();
    let at_once = whole.scan(bytes);
    let mut pieces = Chunks::default();
    let (mut length, mut content) = (0, 0);
    for byte in bytes.chunks(1) {
        match pieces.scan(byte) {
            Ok(scanned) => (length, content) = (length + scanned.length, content + scanned.content),
            Err(_) => return assert!(at_once.is_err(), "only in pieces it is none"),
        }
    }
    let at_once = at_once.unwrap_or_else(|_| panic!("only at once it is none"));
    assert_eq!((at_once.length, at_once.content, at_once.ended), (length, content, pieces.has_ended()));
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
