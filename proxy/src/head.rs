//! The heads of requests and responses: what is refused, what goes, and what the proxy says of its own.

pub(crate) mod forwarded;
mod request_id;
pub(crate) mod trace_context;

use std::net::SocketAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::uri::{Authority, Scheme};
use hyper::http::{request, response};
use hyper::{Method, Uri, Version};

use crate::clients::Client;
use crate::exchange::Rejection;
use crate::routes::PathPrefix;
use forwarded::Hop;

pub(crate) use request_id::RequestIds;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest target that is passed on, in bytes.
const MAX_TARGET: usize = 32 << 10;

/// Refuses a target that is longer than any that is meant well. How the body is framed was looked at before
/// ([`crate::relay`]).
///
/// # Errors
///
/// [`Rejection::TargetTooLong`].
pub(crate) fn check(parts: &request::Parts) -> Result<(), Rejection> {
    let is_long = parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET);
    if is_long { Err(Rejection::TargetTooLong) } else { Ok(()) }
}

/// Takes the host that a request is for and leaves the request in origin form, with that host as its only `Host`
/// (RFC 9112, 3.2). A client of HTTP/1.0 may name none.
///
/// # Errors
///
/// [`Rejection::Malformed`] where the RFC asks for 400: no `Host` in HTTP/1.1, several, or one that is none; and one of
/// HTTP/2 that is another than the target's (RFC 9113, 8.3.1).
pub(crate) fn take_host(parts: &mut request::Parts) -> Result<HeaderValue, Rejection> {
    if parts.method == Method::CONNECT {
        return Err(Rejection::Connect);
    }
    let named = named_host(parts)?;
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str()).ok().filter(is_host);
        let host = host.ok_or(Rejection::Malformed("the target names no valid host"))?;
        if parts.version == Version::HTTP_2 && named.is_some_and(|named| named != host) {
            return Err(Rejection::Malformed("the Host header is another host than the target's"));
        }
        parts.uri = match parts.uri.path_and_query() {
            Some(path) => Uri::from(path.clone()),
            None => Uri::from_static("/"),
        };
        parts.headers.insert(HOST, host.clone());
        return Ok(host);
    }
    Ok(named.unwrap_or_else(|| HeaderValue::from_static("")))
}

/// What the only `Host` of a request says.
fn named_host(parts: &request::Parts) -> Result<Option<HeaderValue>, Rejection> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(Some(host.clone())),
        (Some(_), None) => Err(Rejection::Malformed("the Host header is no host")),
        (None, _) if parts.version == Version::HTTP_11 => {
            Err(Rejection::Malformed("HTTP/1.1 requires a Host header"))
        }
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Rejection::Malformed("the request has more than one Host header")),
    }
}

/// Whether a value can be a host with or without a port, or none: only what RFC 3986, 3.2.2 has in one. A user in front of it
/// is an error (RFC 9110, 4.2.4).
fn is_host(value: &HeaderValue) -> bool {
    value.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

/// The protocol that a request asks to change to. HTTP/2 without TLS is not passed on: RFC 9113 has withdrawn it, and
/// its requests would go round everything that is checked here.
pub(crate) fn wanted_upgrade(parts: &request::Parts) -> Option<HeaderValue> {
    let protocol = parts.headers.get(UPGRADE)?;
    let asked = parts.version == Version::HTTP_11 && names(&parts.headers, &CONNECTION, "upgrade");
    let h2c = protocol.as_bytes().split(|&byte| byte == b',').any(|name| name.trim_ascii() == b"h2c");
    (asked && !h2c).then(|| protocol.clone())
}

/// What is set in a request on its way to the application.
pub(crate) struct Forward<'a> {
    /// The client's address, for `X-Forwarded-For`.
    pub(crate) client: &'a Client,
    /// The host as [`take_host`] gave it.
    pub(crate) host: &'a HeaderValue,
    /// The protocol to change to, as [`wanted_upgrade`] gave it.
    pub(crate) upgrade: Option<&'a HeaderValue>,
    /// Whether the connection carries this one request only.
    pub(crate) close: bool,
    /// The body's length is not known beforehand.
    pub(crate) chunked: bool,
    /// The client waits for 100 before it sends the body.
    pub(crate) expects: bool,
    /// Where the client gave no id that is fit, or no trace.
    pub(crate) ids: &'a RequestIds,
}

/// Makes a client's request one of this proxy: hop-by-hop fields go (RFC 9110, 7.6.1), what only a proxy may claim
/// about the client is replaced, framing is as it will be sent.
pub(crate) fn forward_request(parts: &mut request::Parts, forward: &Forward<'_>) {
    let headers = &mut parts.headers;
    join_cookies(headers);
    let trailers = names(headers, &TE, "trailers");
    strip_hop_by_hop(headers);
    if !forward.client.is_trusted() {
        strip_forwarded(headers);
    }
    forward.client.append_to(headers, &X_FORWARDED_FOR);
    let (client, host) = (forward.client.address(), forward.host.to_str().unwrap_or_default());
    let protocol = forward.client.scheme();
    forwarded::append(headers, &Hop { client, protocol, host });
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(protocol));
    headers.entry(X_FORWARDED_HOST).or_insert_with(|| forward.host.clone());
    if !headers.get(&X_REQUEST_ID).is_some_and(|id| RequestIds::is_fit(id.as_bytes()))
        && let Some(id) = forward.ids.next()
    {
        headers.insert(X_REQUEST_ID, id);
    }
    trace_context::forward(headers, forward.ids);
    if let Some(protocol) = forward.upgrade {
        headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    if forward.close {
        headers.append(CONNECTION, HeaderValue::from_static("close"));
    }
    if trailers {
        headers.append(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if forward.chunked {
        headers.remove(CONTENT_LENGTH);
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if !forward.expects {
        headers.remove(EXPECT);
    }
    // A client of HTTP/1.0 that named no host: HTTP/1.1 requires the field, empty if need be (RFC 9112, 3.2).
    headers.entry(HOST).or_insert_with(|| HeaderValue::from_static(""));
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
}

/// Makes a forwarded request one of HTTP/2: the host is in its target, and no field is about a connection (RFC 9113, 8.2.2
/// and 8.3.1). A client of HTTP/1.0 that named no host asks for that of the application.
///
/// # Errors
///
/// [`Rejection::Malformed`] where the host can't be in a target.
pub(crate) fn forward_http2(parts: &mut request::Parts, application: SocketAddr) -> Result<(), Rejection> {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        parts.headers.remove(name);
    }
    let host = parts.headers.remove(HOST).filter(|host| !host.is_empty());
    let authority = match &host {
        Some(host) => Authority::try_from(host.as_bytes()),
        None => Authority::try_from(application.to_string()),
    };
    let mut target = std::mem::take(&mut parts.uri).into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = authority.ok();
    parts.uri = Uri::from_parts(target).map_err(|_| Rejection::Malformed("the host is none for HTTP/2"))?;
    parts.version = Version::HTTP_2;
    Ok(())
}

/// HTTP/2 lets a client split its cookies over several fields, HTTP/1.1 doesn't know that (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(_)) = (cookies.next(), cookies.next()) {
        let rest = headers.get_all(COOKIE).iter().skip(1);
        let joined = rest
            .fold(first.as_bytes().to_vec(), |joined, next| [&joined, &b"; "[..], next.as_bytes()].concat());
        if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// Takes the prefix off the path of a forwarded request, and tells the application, which may need it for the links that
/// it makes: in the field that Traefik sends and Spring reads.
pub(crate) fn strip_prefix(parts: &mut request::Parts, prefix: &PathPrefix) {
    let stripped = parts.uri.path_and_query().and_then(|path| prefix.strip(path));
    if let (Some(path), Ok(prefix)) = (stripped, HeaderValue::from_str(prefix.as_str())) {
        parts.uri = Uri::from(path);
        parts.headers.insert(X_FORWARDED_PREFIX, prefix);
    }
}

/// Whether a forwarded request came over TLS, to this proxy or to the operator's own in front of it, the first one where
/// there are several.
pub(crate) fn is_secure(headers: &HeaderMap) -> bool {
    let scheme = headers
        .get(&X_FORWARDED_PROTO)
        .and_then(|scheme| scheme.as_bytes().split(|byte| *byte == b',').next());
    scheme.is_some_and(|scheme| scheme.trim_ascii().eq_ignore_ascii_case(b"https"))
}

/// The id that a forwarded request carries.
pub(crate) fn request_id(headers: &HeaderMap) -> &str {
    headers.get(&X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// Makes an application's response one of this proxy.
pub(crate) fn forward_response(parts: &mut response::Parts) {
    // With both, the length is not that of the body (RFC 9112, 6.3).
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        parts.headers.remove(CONTENT_LENGTH);
    }
    strip_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
}

/// Makes an application's 101 one of this proxy.
pub(crate) fn forward_upgrade(headers: &mut HeaderMap) {
    let protocol = headers.get(UPGRADE).cloned();
    strip_hop_by_hop(headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
    }
}

/// The host without port and final dot.
pub(crate) fn host_name(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn names(headers: &HeaderMap, field: &HeaderName, token: &str) -> bool {
    headers.get_all(field).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value
            .split(',')
            .any(|item| item.split(';').next().is_some_and(|item| item.trim().eq_ignore_ascii_case(token)))
    })
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| {
            !["close", "keep-alive", "upgrade", "te"].iter().any(|known| token.eq_ignore_ascii_case(known))
        })
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        // Nobody may have these removed: they decide where a message goes and where it ends.
        .filter(|name| name != HOST && name != CONTENT_LENGTH)
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// Removes what a client claims about itself, also with underscores, which many applications read as hyphens.
fn strip_forwarded(headers: &mut HeaderMap) {
    const PREFIX: &str = "x-forwarded-";
    let claims = |name: &HeaderName| {
        let folded = name.as_str().bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
        folded.take(PREFIX.len()).eq(PREFIX.bytes())
    };
    let claimed: Vec<HeaderName> = headers.keys().filter(|name| claims(name)).cloned().collect();
    for name in claimed {
        headers.remove(name);
    }
    headers.remove(FORWARDED);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hyper::Request;

    fn parts(target: &str, headers: &[(&str, &str)]) -> request::Parts {
        let request = Request::get(target);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn forwarded(parts: request::Parts) -> HeaderMap {
        forwarded_from(parts, &[])
    }

    fn forwarded_from(mut parts: request::Parts, trusted: &[ipnet::IpNet]) -> HeaderMap {
        let host = take_host(&mut parts).unwrap();
        let upgrade = wanted_upgrade(&parts);
        let forward = Forward {
            client: &Client::new("192.0.2.7".parse().unwrap(), trusted).unwrap(),
            host: &host,
            upgrade: upgrade.as_ref(),
            close: false,
            chunked: false,
            expects: false,
            ids: &RequestIds::new(false),
        };
        forward_request(&mut parts, &forward);
        parts.headers
    }

    #[test]
    fn hop_by_hop_fields_go_and_the_others_stay() {
        let headers = forwarded(parts(
            "/",
            &[
                ("host", "a"),
                ("connection", "keep-alive, X-Private, Host"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("x-private", "1"),
                ("te", "gzip, trailers;q=0.5"),
                ("accept", "*/*"),
                ("trailer", "digest"),
            ],
        ));
        for gone in ["keep-alive", "proxy-connection", "x-private"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["connection"], "te");
        assert_eq!(
            (&headers["accept"], &headers["trailer"], &headers["host"]),
            (
                &HeaderValue::from_static("*/*"),
                &HeaderValue::from_static("digest"),
                &HeaderValue::from_static("a")
            )
        );
    }

    #[test]
    fn what_a_client_claims_about_itself_is_replaced() {
        let headers = forwarded(parts(
            "/",
            &[
                ("host", "a:8080"),
                ("x-forwarded-for", "10.0.0.1"),
                ("x_forwarded_for", "10.0.0.1"),
                ("x-forwarded-port", "1"),
                ("x-forwarded-prefix", "/mine"),
                ("forwarded", "for=10.0.0.1"),
                ("x-request-id", "mine"),
            ],
        ));
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-host"], "a:8080");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-request-id"], "mine");
        for gone in ["x_forwarded_for", "x-forwarded-port", "x-forwarded-prefix", "forwarded"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn what_a_proxy_of_ones_own_says_is_passed_on() {
        let claims = [
            ("host", "a"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("forwarded", "for=203.0.113.9"),
        ];
        let headers = forwarded_from(parts("/", &claims), &["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "shop.example");
        assert_eq!(headers["forwarded"], "for=203.0.113.9, for=192.0.2.7;proto=http;host=a");
        // It may say nothing.
        let headers = forwarded_from(parts("/", &[("host", "a")]), &["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert!(!headers.contains_key("forwarded"));
    }

    #[test]
    fn an_upgrade_is_passed_on_but_not_to_http2() {
        let websocket = [("host", "a"), ("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        let headers = forwarded(parts("/", &websocket));
        assert_eq!(
            (&headers["upgrade"], &headers["connection"]),
            (&HeaderValue::from_static("websocket"), &HeaderValue::from_static("upgrade"))
        );
        let h2c = [
            ("host", "a"),
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AA"),
        ];
        let headers = forwarded(parts("/", &h2c));
        assert!(!headers.contains_key("upgrade") && !headers.contains_key("http2-settings"));
    }

    #[test]
    fn the_target_of_absolute_form_is_the_host() {
        let mut parts = parts("http://b.example:81/x?y", &[("host", "a")]);
        assert_eq!(take_host(&mut parts).unwrap(), "b.example:81");
        assert_eq!(
            (parts.uri.to_string().as_str(), &parts.headers["host"]),
            ("/x?y", &HeaderValue::from_static("b.example:81"))
        );
    }

    #[test]
    fn one_host_is_required_of_http_1_1_only() {
        assert!(take_host(&mut parts("/", &[])).is_err());
        assert!(take_host(&mut parts("/", &[("host", "a"), ("host", "b")])).is_err());
        assert!(take_host(&mut parts("http://a/", &[])).is_err());
        assert!(take_host(&mut parts("http://user@a/", &[("host", "a")])).is_err());
        for host in ["user@a", "a b", "a/b", "a?b", "a\\b", "a\"b", "a#b", "a\tb", "<a>"] {
            assert!(take_host(&mut parts("/", &[("host", host)])).is_err(), "{host}");
        }
        for host in ["", "a", "a.example:80", "[2001:db8::1]:80", "a_b.example."] {
            assert_eq!(take_host(&mut parts("/", &[("host", host)])).unwrap(), host);
        }
        let mut old = parts("/", &[]);
        old.version = Version::HTTP_10;
        assert_eq!(take_host(&mut old).unwrap(), "");
    }

    #[test]
    fn a_host_of_http_2_is_that_of_the_target() {
        let asked = |host| {
            let mut parts = parts("http://a/", &[("host", host)]);
            parts.version = Version::HTTP_2;
            take_host(&mut parts)
        };
        assert_eq!(asked("a").unwrap(), "a");
        assert!(asked("b").is_err());
        let mut without = parts("http://a/", &[]);
        without.version = Version::HTTP_2;
        assert_eq!(take_host(&mut without).unwrap(), "a");
    }

    #[test]
    fn a_target_without_end_is_refused() {
        let target = |length: usize| format!("/{}", "x".repeat(length - 1));
        assert!(check(&parts(&target(MAX_TARGET), &[])).is_ok());
        assert!(matches!(check(&parts(&target(MAX_TARGET + 1), &[])), Err(Rejection::TargetTooLong)));
    }

    #[test]
    fn a_name_has_no_port_and_no_final_dot() {
        for (host, name) in
            [("a.example:80", "a.example"), ("a.example.", "a.example"), ("[::1]:80", "[::1]")]
        {
            assert_eq!(host_name(host), name);
        }
        assert_eq!(host_name("[::1]"), "[::1]");
    }
}
