use std::mem::MaybeUninit;
use std::ops::Range;

use httparse::{Header, Request, Status};
use memchr::memchr_iter;

use super::body::Body;
use super::chunks::Chunks;
use super::response_head::number;
use crate::clients::Client;
use crate::exchange::Rejection;
use crate::head::{RequestIds, trace_context::trace_id_of};
use crate::routes::PathPrefix;

/// Fields that a head may have.
pub(crate) const MAX_FIELDS: usize = 128;

/// The head of a request, as far as it has come.
#[derive(Debug)]
pub(crate) enum Arrived<'h, 'b> {
    /// More of it has to come.
    Partial,
    /// What nobody should answer: it is no head, or two recipients could read it differently, which is refused and not
    /// repaired (RFC 9112, 11.2).
    Refused(Rejection),
    Whole(RequestHead<'h, 'b>),
}

/// The head of a request, of which it is known where its message ends.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    fields: &'h [Header<'b>],
    method: &'b str,
    target: &'b str,
    pub(crate) host: &'b str,
    /// Bytes that it has.
    pub(crate) length: usize,
    pub(crate) body: Body,
    /// It asks for another protocol.
    pub(crate) upgrades: bool,
    /// There is nothing in it that only the complete way knows, it has no body, and it can be sent again.
    pub(crate) is_simple: bool,
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
    Upgrade,
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
            Err(httparse::Error::TooManyHeaders) => return Arrived::Refused(Rejection::HeadTooLarge),
            Err(_) => {
                return Arrived::Refused(Rejection::Malformed("what was sent is no request of HTTP/1.1"));
            }
        };
        let head = bytes.get(..length).unwrap_or_default();
        if has_bare_line_feed(head) {
            let why = "a line of the head ends without a carriage return";
            return Arrived::Refused(Rejection::Malformed(why));
        }
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let mut whole = Self {
            fields: request.headers,
            method,
            target,
            host: "",
            length,
            body: Body::Length(0),
            upgrades: false,
            is_simple: false,
            close: false,
            traced: false,
        };
        match whole.judge(request.version == Some(1), client) {
            Ok(()) => Arrived::Whole(whole),
            Err(why) => Arrived::Refused(why),
        }
    }

    /// Finds out what kind of request it is; the error says why it is none.
    fn judge(&mut self, is_new: bool, client: &Client) -> Result<(), Rejection> {
        let (mut length, mut chunked, mut others) = (None, false, !is_new);
        let (mut hosts, mut cookies, mut ids, mut states) = (0, 0, 0, false);
        for Header { name, value } in self.fields {
            match Field::of(name) {
                Field::Host => {
                    hosts += 1;
                    self.host = std::str::from_utf8(value).unwrap_or_default();
                }
                Field::Connection if value.eq_ignore_ascii_case(b"close") => self.close = true,
                Field::Connection if value.eq_ignore_ascii_case(b"keep-alive") => {}
                Field::Length if length.is_none() && !chunked => {
                    let wrong = Rejection::Malformed("the length of the body is no number");
                    length = Some(number(value).ok_or(wrong)?);
                }
                Field::Coding if !is_new => {
                    return Err(Rejection::Malformed("HTTP/1.0 knows no transfer coding"));
                }
                Field::Coding if value.eq_ignore_ascii_case(b"chunked") && !chunked && length.is_none() => {
                    chunked = true;
                }
                // It would be passed on without a coding that it has (RFC 9112, 6.1).
                Field::Coding if !chunked && length.is_none() => return Err(Rejection::TransferCoding),
                Field::Length | Field::Coding => {
                    return Err(Rejection::Malformed("the length of the body is said more than once"));
                }
                // HTTP/2 without TLS is not changed to: the request stays one of HTTP/1.1.
                Field::Upgrade if value.eq_ignore_ascii_case(b"h2c") => others = true,
                Field::Upgrade => self.upgrades = true,
                Field::Cookie => cookies += 1,
                Field::RequestId => ids += 1,
                Field::TraceParent if !self.traced && trace_id_of(value).is_some() => self.traced = true,
                Field::TraceState => states = true,
                Field::Forwarded if !client.is_trusted() => {}
                Field::Connection | Field::TraceParent | Field::Forwarded | Field::Other => others = true,
                _ => {}
            }
        }
        self.body =
            if chunked { Body::Chunked(Chunks::default()) } else { Body::Length(length.unwrap_or(0)) };
        self.is_simple = !(others || self.upgrades || chunked || length.is_some())
            && matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "DELETE")
            && self.target.starts_with('/')
            && self.target.bytes().all(is_target_byte)
            && (hosts == 1 && !self.host.is_empty() && self.host.bytes().all(is_host_byte))
            && cookies < 2
            && ids < 2
            && (self.traced || !states);
        Ok(())
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
    /// request's id stands in it. The application is asked without the prefix, where there is one.
    pub(crate) fn forward(
        &self,
        client: &Client,
        ids: &RequestIds,
        prefix: Option<&PathPrefix>,
    ) -> (Vec<u8>, Range<usize>) {
        let mut out = Vec::with_capacity(self.length + 256);
        let prefix = prefix.map_or("", PathPrefix::as_str);
        let target = self.target.strip_prefix(prefix).unwrap_or(self.target);
        let slash = if target.starts_with('/') { "" } else { "/" };
        for piece in [self.method, " ", slash, target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
        if !prefix.is_empty() {
            push(&mut out, "x-forwarded-prefix", &[prefix.as_bytes()]);
        }
        let (mut id, mut proto, mut host) = (0..0, false, false);
        for Header { name, value } in self.fields {
            let field = Field::of(name);
            let keep = match field {
                Field::Connection | Field::HopByHop | Field::ForwardedFor | Field::Forwarded => false,
                Field::RequestId => RequestIds::is_fit(value),
                Field::Claim => {
                    client.is_trusted()
                        && (prefix.is_empty() || !name.eq_ignore_ascii_case("x-forwarded-prefix"))
                }
                Field::ForwardedProto => set_if(&mut proto, client.is_trusted()),
                Field::ForwardedHost => set_if(&mut host, client.is_trusted()),
                _ => true,
            };
            if keep {
                let at = push(&mut out, name, &[value]);
                if field == Field::RequestId {
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
            7 if is("upgrade") => Self::Upgrade,
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
fn is_host_byte(byte: u8) -> bool {
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
            Arrived::Refused(why) => why.to_string(),
            Arrived::Whole(head) if !head.is_simple => "other".to_owned(),
            Arrived::Whole(head) => {
                let (out, id) = head.forward(client, &RequestIds::new(false), None);
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
        for line in ["GET * HTTP/1.1", "GET /\u{e9} HTTP/1.1", "GET / HTTP/1.0", "POST / HTTP/1.1"] {
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
        ] {
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n");
            assert_eq!(forwarded(&head, &stranger()), "other", "{field}");
        }
        assert_eq!(forwarded("GET / HTTP/1.1\r\n\r\n", &stranger()), "other");
        assert_eq!(forwarded("GET / HTTP/1.1\r\nhost:\r\nhost: a\r\n\r\n", &stranger()), "other");
    }

    #[test]
    fn what_two_recipients_could_read_differently_is_refused() {
        for (field, why) in [
            ("content-length: 1\r\ncontent-length: 1", "more than once"),
            ("content-length: 1\r\ntransfer-encoding: chunked", "more than once"),
            ("transfer-encoding: chunked\r\ncontent-length: 1", "more than once"),
            ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "more than once"),
            ("transfer-encoding: gzip, chunked", "no transfer coding"),
            ("transfer-encoding: gzip", "no transfer coding"),
            ("content-length: +1", "no number"),
            ("content-length: 1, 1", "no number"),
            ("content-length:", "no number"),
            (" folded", "no request"),
            ("name : value", "no request"),
            ("a: b\nc: d", "carriage return"),
        ] {
            let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n");
            assert!(forwarded(&head, &stranger()).contains(why), "{field}");
        }
        for head in ["GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / \r\n\r\n"] {
            assert!(forwarded(head, &stranger()).contains("no request"), "{head}");
        }
        let old = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(forwarded(old, &stranger()).contains("HTTP/1.0"));
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS));
        assert!(forwarded(&many, &stranger()).contains("too large"));
    }
}
