use std::mem::MaybeUninit;
use std::time::SystemTime;

use httparse::{Header, ParserConfig, Response, Status};
use hyper::StatusCode;

use super::body::Body;
use super::chunks::Chunks;
use super::request_head::{has_bare_line_feed, push};
use crate::exchange::Rejection;
use crate::targets::is_of_events;

/// Fields that the head of an answer may have here.
const MAX_FIELDS: usize = 100;

/// The head of an application's answer, as far as it has come.
#[derive(Debug)]
pub(crate) enum Answered {
    /// More of it has to come.
    Partial,
    /// It is none that a request of this kind could get.
    Unusable(Rejection),
    /// One before the final one (RFC 9110, 15.2), of so many bytes: to be left out.
    Interim(usize),
    Final(ResponseHead),
}

/// The final head of an answer.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    /// Bytes that it has as the application has sent it.
    pub(crate) length: usize,
    pub(crate) body: Body,
    /// The application's connection can be used again afterwards.
    pub(crate) is_reusable: bool,
    /// The client's connection is closed after it.
    pub(crate) is_last: bool,
    /// It goes on and on.
    pub(crate) is_event_stream: bool,
    /// What the client gets instead; none: the very bytes.
    pub(crate) instead: Option<Vec<u8>>,
}

/// What is asked of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// It has no body, whatever its head says.
    pub(crate) head_only: bool,
    /// The client's connection is closed after it.
    pub(crate) close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Connection,
    Coding,
    Length,
    Date,
    Type,
    HopByHop,
    Plain,
}

impl ResponseHead {
    /// Reads a head from the beginning of what an application has sent.
    pub(crate) fn read(bytes: &[u8], wanted: Wanted) -> Answered {
        let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut response = Response::new(&mut []);
        let parsed =
            ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut room);
        let length = match parsed {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Answered::Partial,
            Err(_) => return Answered::Unusable(Rejection::Unreadable),
        };
        match response.code {
            Some(101) => Answered::Unusable(Rejection::UnaskedUpgrade),
            Some(100..=199) => Answered::Interim(length),
            status => {
                let head = bytes.get(..length).unwrap_or_default();
                let of = status.and_then(|status| Self::of(&response, status, head, wanted));
                of.map_or(Answered::Unusable(Rejection::Unreadable), Answered::Final)
            }
        }
    }

    fn of(response: &Response<'_, '_>, status: u16, head: &[u8], wanted: Wanted) -> Option<Self> {
        let (mut content_length, mut chunked, mut dated, mut events) = (None, false, false, false);
        let is_new = response.version == Some(1);
        // Blanks and ends that not every client knows.
        let is_plain =
            head.starts_with(b"HTTP/1.1 ") && head.get(12) == Some(&b' ') && !has_bare_line_feed(head);
        let (mut reusable, mut rewrite) = (is_new, !is_plain || wanted.close);
        let mut nominated: Vec<&str> = Vec::new();
        for Header { name, value } in response.headers.iter() {
            match Field::of(name) {
                Field::Plain => {}
                Field::Date => dated = true,
                Field::Type => events = is_of_events(value),
                Field::HopByHop => rewrite = true,
                Field::Connection => {
                    rewrite = true;
                    let tokens = std::str::from_utf8(value).ok()?.split(',').map(str::trim);
                    for token in tokens {
                        match token {
                            _ if token.eq_ignore_ascii_case("close") => reusable = false,
                            _ if token.eq_ignore_ascii_case("keep-alive") => {}
                            _ => nominated.push(token),
                        }
                    }
                }
                Field::Coding if is_new && !chunked && value.eq_ignore_ascii_case(b"chunked") => {
                    chunked = true
                }
                Field::Length if content_length.is_none() => content_length = Some(number(value)?),
                Field::Length if content_length == number(value) => rewrite = true,
                Field::Coding | Field::Length => return None,
            }
        }
        // With both, the length is not that of the body (RFC 9112, 6.3); and what can have none has none (RFC 9110, 8.6).
        let framed = chunked || content_length.is_some();
        rewrite |= chunked && content_length.is_some() || status == 204 && framed;
        let body = match (chunked, content_length) {
            _ if wanted.head_only || matches!(status, 204 | 304) => Body::Length(0),
            (true, _) => Body::Chunked(Chunks::default()),
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::Close,
        };
        let closes = body.ends_with_connection();
        let instead = (rewrite || !dated || closes).then(|| {
            let mut out =
                format!("HTTP/1.1 {status} {}\r\n", response.reason.unwrap_or_default()).into_bytes();
            for Header { name, value } in response.headers.iter() {
                let stays = match Field::of(name) {
                    Field::Connection | Field::HopByHop | Field::Coding | Field::Length => false,
                    Field::Date | Field::Type | Field::Plain => {
                        !nominated.iter().any(|token| name.eq_ignore_ascii_case(token))
                    }
                };
                if stays {
                    push(&mut out, name, &[value]);
                }
            }
            if !dated {
                push_date(&mut out);
            }
            match content_length {
                _ if status == 204 => {}
                _ if chunked || closes => drop(push(&mut out, "transfer-encoding", &[b"chunked"])),
                Some(length) => drop(push(&mut out, "content-length", &[length.to_string().as_bytes()])),
                None => {}
            }
            if wanted.close {
                push(&mut out, "connection", &[b"close"]);
            }
            out.extend_from_slice(b"\r\n");
            out
        });
        Some(Self {
            status: StatusCode::from_u16(status).ok()?,
            length: head.len(),
            is_reusable: reusable && !closes,
            is_last: wanted.close,
            // No stream of events has a length.
            is_event_stream: events && !matches!(body, Body::Length(_)),
            body,
            instead,
        })
    }
}

/// An answer of the proxy's own.
pub(crate) fn refusal(rejection: &Rejection, wanted: Wanted) -> Vec<u8> {
    let (status, text) = (rejection.status(), rejection.text());
    let mut out = format!("HTTP/1.1 {status}\r\n").into_bytes();
    push(&mut out, "content-type", &[b"text/plain; charset=utf-8"]);
    push(&mut out, "content-length", &[text.len().to_string().as_bytes()]);
    push_date(&mut out);
    if wanted.close {
        push(&mut out, "connection", &[b"close"]);
    }
    out.extend_from_slice(b"\r\n");
    if !wanted.head_only {
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// Whoever passes an answer on that says no time adds it (RFC 9110, 6.6.1).
fn push_date(out: &mut Vec<u8>) {
    push(out, "date", &[httpdate::fmt_http_date(SystemTime::now()).as_bytes()]);
}

impl Field {
    fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is("te") => Self::HopByHop,
            4 if is("date") => Self::Date,
            12 if is("content-type") => Self::Type,
            7 if is("upgrade") => Self::HopByHop,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            14 if is("content-length") => Self::Length,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("transfer-encoding") => Self::Coding,
            _ => Self::Plain,
        }
    }
}

/// A number of decimal digits alone (RFC 9110, 8.6).
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if all { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}
