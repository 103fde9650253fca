use std::mem::MaybeUninit;
use std::ops::Range;

use httparse::{Header, Request, Status};
use memchr::memchr_iter;

use crate::client::Client;
use crate::request_id::RequestIds;
use crate::trace_context::trace_id_of;

/// Fields that a head may have here; one with more goes the complete way.
pub(crate) const MAX_FIELDS: usize = 64;

/// The head of a request, as far as it has come.
#[derive(Debug)]
pub(crate) enum Arrived<'h, 'b> {
    /// More of it has to come.
    Partial,
    /// It has what only the complete way knows, or is no head at all.
    Other,
    /// Two recipients could read it differently: to be refused, not repaired (RFC 9112, 11.2).
    Ambiguous(&'static str),
    /// A request without a body that can be sent again.
    Simple(RequestHead<'h, 'b>),
}

/// The head of a request with a simple method and with nothing in it that would change how messages are framed or where
/// they go.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    fields: &'h [Header<'b>],
    method: &'b str,
    target: &'b str,
    pub(crate) host: &'b str,
    /// Bytes that it has.
    pub(crate) length: usize,
    /// The client wants the connection closed after the answer.
    pub(crate) close: bool,
    /// It says which trace it belongs to.
    traced: bool,
}

/// What a field is to this proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Host,
    Connection,
    Length,
    Coding,
    Cookie,
    RequestId,
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    Forwarded,
    TraceParent,
    TraceState,
    /// A claim about the client, which only the operator's own proxies may make.
    Claim,
    /// Ends here (RFC 9110, 7.6.1).
    HopByHop,
    /// Only the complete way knows it.
    Other,
    /// Passed on.
    Plain,
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// Reads a head from the beginning of what a client has sent.
    pub(crate) fn read(
        bytes: &'b [u8],
        room: &'h mut [MaybeUninit<Header<'b>>; MAX_FIELDS],
        client: &Client,
    ) -> Arrived<'h, 'b> {
        let mut request = Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(bytes, room) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Arrived::Partial,
            Err(_) => return Arrived::Other,
        };
        let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
            return Arrived::Other;
        };
        let head = bytes.get(..length).unwrap_or_default();
        if has_bare_line_feed(head) {
            return Arrived::Ambiguous("a line of the head ends without a carriage return");
        }
        Self { fields: request.headers, method, target, host: "", length, close: false, traced: false }
            .judge(client)
    }

    fn judge(mut self, client: &Client) -> Arrived<'h, 'b> {
        let (mut lengths, mut codings, mut cookies, mut ids, mut states, mut other) =
            (0, 0, 0, 0, false, false);
        for Header { name, value } in self.fields {
            match Field::of(name) {
                Field::Host if self.host.is_empty() && value.iter().all(is_host_byte) => {
                    self.host = std::str::from_utf8(value).unwrap_or_default();
                }
                Field::Connection if value.eq_ignore_ascii_case(b"close") => self.close = true,
                Field::Connection if value.eq_ignore_ascii_case(b"keep-alive") => {}
                Field::Length => lengths += 1,
                Field::Coding if value.eq_ignore_ascii_case(b"chunked") => codings += 1,
                Field::Coding => return Arrived::Ambiguous("the transfer coding is not chunked alone"),
                Field::Cookie => cookies += 1,
                Field::RequestId => ids += 1,
                Field::TraceParent if !self.traced && trace_id_of(value).is_some() => self.traced = true,
                Field::TraceState => states = true,
                Field::Forwarded if !client.is_trusted() => {}
                Field::Host | Field::Connection | Field::TraceParent | Field::Forwarded | Field::Other => {
                    other = true
                }
                _ => {}
            }
        }
        match (lengths, codings) {
            (0, 0) => {}
            (1, 0) | (0, 1) => return Arrived::Other,
            _ => return Arrived::Ambiguous("the length of the body is said more than once"),
        }
        let is_simple = matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "DELETE")
            && self.target.starts_with('/')
            && self.target.bytes().all(is_target_byte)
            && !self.host.is_empty();
        let untold = states && !self.traced;
        if other || !is_simple || cookies > 1 || ids > 1 || untold {
            Arrived::Other
        } else {
            Arrived::Simple(self)
        }
    }

    /// The path as the client has sent it, without the query.
    pub(crate) fn path(&self) -> &'b str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// Whether the answer has no body (RFC 9110, 9.3.2).
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Makes it a request of this proxy, by the rules of [`forward_request`](crate::head::forward_request); gives where the
    /// request's id stands in it.
    pub(crate) fn forward(&self, client: &Client, ids: &RequestIds) -> (Vec<u8>, Range<usize>) {
        let mut out = Vec::with_capacity(self.length + 256);
        for piece in [self.method, " ", self.target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
        let (mut id, mut proto, mut host) = (0..0, false, false);
        for Header { name, value } in self.fields {
            let keep = match Field::of(name) {
                Field::Connection | Field::HopByHop | Field::ForwardedFor | Field::Forwarded => false,
                Field::RequestId => RequestIds::is_fit(value),
                Field::Claim => client.is_trusted(),
                Field::ForwardedProto => set_if(&mut proto, client.is_trusted()),
                Field::ForwardedHost => set_if(&mut host, client.is_trusted()),
                _ => true,
            };
            if keep {
                let at = push(&mut out, name, &[value]);
                if Field::of(name) == Field::RequestId {
                    id = at;
                }
            }
        }
        self.push_forwarded_for(&mut out, client);
        if !proto {
            push(&mut out, "x-forwarded-proto", &[client.scheme().as_bytes()]);
        }
        if !host {
            push(&mut out, "x-forwarded-host", &[self.host.as_bytes()]);
        }
        if id.is_empty() {
            id = push(&mut out, "x-request-id", &[&ids.next_digits()]);
        }
        if !self.traced
            && let Some(started) = ids.trace_parent()
        {
            push(&mut out, "traceparent", &[started.as_bytes()]);
        }
        out.extend_from_slice(b"\r\n");
        (out, id)
    }

    fn push_forwarded_for(&self, out: &mut Vec<u8>, client: &Client) {
        out.extend_from_slice(b"x-forwarded-for: ");
        if client.is_trusted() {
            let known = self.fields.iter().filter(|field| Field::of(field.name) == Field::ForwardedFor);
            for field in known.filter(|field| !field.value.is_empty()) {
                out.extend_from_slice(field.value);
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(client.address().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

impl Field {
    fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is("te") => Self::Other,
            4 if is("host") => Self::Host,
            6 if is("cookie") => Self::Cookie,
            6 if is("expect") => Self::Other,
            7 if is("upgrade") => Self::Other,
            9 if is("forwarded") => Self::Forwarded,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            10 if is("tracestate") => Self::TraceState,
            11 if is("traceparent") => Self::TraceParent,
            12 if is("x-request-id") => Self::RequestId,
            14 if is("content-length") => Self::Length,
            15 if is("x-forwarded-for") => Self::ForwardedFor,
            16 if is("x-forwarded-host") => Self::ForwardedHost,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("x-forwarded-proto") => Self::ForwardedProto,
            17 if is("transfer-encoding") => Self::Coding,
            12.. if claims(name) => Self::Claim,
            _ => Self::Plain,
        }
    }
}

/// Whether a line ends without a carriage return: a recipient may take that for an end or not (RFC 9112, 2.2).
pub(super) fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).any(|at| at == 0 || head.get(at - 1) != Some(&b'\r'))
}

/// Writes a field, whose value is in pieces; gives where the value stands.
pub(super) fn push(out: &mut Vec<u8>, name: &str, value: &[&[u8]]) -> Range<usize> {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let begin = out.len();
    value.iter().for_each(|piece| out.extend_from_slice(piece));
    let end = out.len();
    out.extend_from_slice(b"\r\n");
    begin..end
}

fn set_if(flag: &mut bool, condition: bool) -> bool {
    *flag |= condition;
    condition
}

/// Whether a field claims something about the client, also with underscores, which many applications read as hyphens.
fn claims(name: &str) -> bool {
    let bytes = name.as_bytes();
    let is_prefix = bytes.get(..11).is_some_and(|prefix| {
        let folded = prefix.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() });
        folded.eq(*b"x-forwarded")
    });
    is_prefix && matches!(bytes.get(11), Some(b'-' | b'_'))
}

/// Bytes of a host in the one form that needs no second look.
fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
}

/// Bytes of a path and a query that nobody reads differently (RFC 3986, 3.3 and 3.4).
fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'$'..=b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'[' | b']' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn forwarded(head: &str, client: &Client) -> String {
        let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        match RequestHead::read(head.as_bytes(), &mut room, client) {
            Arrived::Partial => "partial".to_owned(),
            Arrived::Other => "other".to_owned(),
            Arrived::Ambiguous(why) => why.to_owned(),
            Arrived::Simple(head) => {
                let (out, id) = head.forward(client, &RequestIds::new(false));
                let id = String::from_utf8(out[id].to_vec()).unwrap();
                String::from_utf8(out).unwrap().replace(&id, "ID")
            }
        }
    }

    fn stranger() -> Client {
        Client::new("192.0.2.7".parse().unwrap(), &[]).unwrap()
    }

    #[test]
    fn a_simple_request_is_made_one_of_the_proxy() {
        let head = "GET /a?b=c HTTP/1.1\r\nHOST: a:80\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
            x-forwarded-for: 10.0.0.1\r\nX_Forwarded_Host: b\r\nforwarded: for=b\r\nAccept: */*\r\n\r\n";
        assert_eq!(
            forwarded(head, &stranger()),
            "GET /a?b=c HTTP/1.1\r\nHOST: a:80\r\nAccept: */*\r\nx-forwarded-for: 192.0.2.7\r\n\
                x-forwarded-proto: http\r\nx-forwarded-host: a:80\r\nx-request-id: ID\r\n\r\n"
        );
        for length in 1..head.len() {
            assert_eq!(forwarded(&head[..length], &stranger()), "partial", "{length}");
        }
    }

    #[test]
    fn what_a_proxy_of_ones_own_says_is_passed_on() {
        let own = Client::new("192.0.2.7".parse().unwrap(), &["192.0.2.0/24".parse().unwrap()]).unwrap();
        let head = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 10.0.0.1\r\nx-forwarded-for: 10.0.0.2\r\n\
            x-forwarded-proto: https\r\nx-forwarded-host: b\r\n\r\n";
        assert_eq!(
            forwarded(head, &own),
            "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-proto: https\r\nx-forwarded-host: b\r\n\
                x-forwarded-for: 10.0.0.1, 10.0.0.2, 192.0.2.7\r\nx-request-id: ID\r\n\r\n"
        );
    }

    #[test]
    fn whatever_changes_how_messages_are_framed_goes_the_complete_way() {
        for line in
            ["GET * HTTP/1.1", "GET /\u{e9} HTTP/1.1", "GET / HTTP/1.0", "POST / HTTP/1.1", "GET  / HTTP/1.1"]
        {
            assert_eq!(forwarded(&format!("{line}\r\nhost: a\r\n\r\n"), &stranger()), "other", "{line}");
        }
        for field in [
            "host: b",
            "content-length: 1",
            "Transfer-Encoding: chunked",
            "upgrade: websocket",
            "expect: 100-continue",
            "te: trailers",
            "connection: close, x",
            "traceparent: 00-x",
            "tracestate: a=1",
            "cookie: a\r\ncookie: b",
            "x-request-id: a\r\nx-request-id: b",
            " folded",
            "name : value",
        ] {
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n");
            assert_eq!(forwarded(&head, &stranger()), "other", "{field}");
        }
        assert_eq!(forwarded("GET / HTTP/1.1\r\n\r\n", &stranger()), "other");
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS));
        assert_eq!(forwarded(&many, &stranger()), "other");
    }
}
