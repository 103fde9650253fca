use std::io;
use std::sync::Arc;

use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Response, StatusCode};
use thiserror::Error;

use super::response_body::ResponseBody;
use crate::traffic::Notice;

/// Why the proxy answers a request itself. The message is what the client reads.
#[derive(Debug, Error)]
pub(crate) enum Rejection {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the target of the request is too long")]
    TargetTooLong,
    #[error("no transfer coding is known here but chunked")]
    TransferCoding,
    #[error("the client did not send the request's body in time")]
    BodyTooSlow,
    #[error("the head of the request is too large")]
    HeadTooLarge,
    #[error("CONNECT is not served here")]
    Connect,
    #[error("the certificate of this connection is not for the host of the request")]
    Misdirected,
    #[error("the service is served with TLS")]
    Insecure {
        /// Where.
        location: HeaderValue,
        /// Whether the client may ask there by GET whatever it has asked by.
        may_change_method: bool,
    },
    #[error("the request's body could not be read")]
    RequestBody(#[source] hyper::Error),
    #[error("the request's body is larger than the service takes")]
    BodyTooLarge,
    #[error("no service is routed here for this host and path")]
    NoRoute,
    #[error("the service has nothing that could answer")]
    NoTarget,
    #[error("the application has as many connections as it may")]
    Busy,
    #[error("the application does not accept connections")]
    Unreachable(#[source] io::Error),
    #[error("the application closed the connection before it answered")]
    NoAnswer(#[source] hyper::Error),
    #[error("the application answered with what is no answer")]
    Unreadable,
    #[error("the application changed the protocol without being asked")]
    UnaskedUpgrade,
    #[error("the application did not answer in time")]
    TooSlow,
    #[error("the request took longer than it may in all")]
    OutOfTime,
    #[error("the application was replaced before it had answered")]
    Replaced,
    #[error("the service is paused, and too many wait already or for too long")]
    Paused {
        /// In how many seconds it may go on.
        retry_after: u64,
    },
    #[error("the service is under maintenance")]
    Maintenance(Arc<Notice>),
}

impl Rejection {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::RequestBody(_) => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            // RFC 9110, 15.5.20.
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Insecure { may_change_method: true, .. } => StatusCode::MOVED_PERMANENTLY,
            Self::Insecure { may_change_method: false, .. } => StatusCode::PERMANENT_REDIRECT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoTarget | Self::Busy | Self::Paused { .. } | Self::Maintenance(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unreachable(error) if error.kind() == io::ErrorKind::TimedOut => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Unreachable(_) | Self::NoAnswer(_) | Self::Unreadable | Self::UnaskedUpgrade => {
                StatusCode::BAD_GATEWAY
            }
            Self::TooSlow | Self::OutOfTime | Self::Replaced => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether it is the connection's end that has failed, on one that was new or `reused`: a kept one that was closed says
    /// nothing about the application.
    pub(crate) const fn speaks_against_target(&self, reused: bool) -> bool {
        match self {
            Self::Unreachable(_) | Self::NoAnswer(_) => !reused,
            Self::TooSlow => true,
            _ => false,
        }
    }

    /// What the client reads.
    pub(crate) fn text(&self) -> String {
        format!("{}: {self}\n", self.status().as_u16())
    }

    /// Whether nothing more is read from the client: it need not get rid of the rest of a body in order to ask something
    /// else, and where a message is not clear, neither is where the next one begins (RFC 9112, 6.3).
    fn ends_connection(&self) -> bool {
        let body = matches!(self, Self::BodyTooLarge | Self::BodyTooSlow | Self::RequestBody(_));
        body || matches!(self, Self::Malformed(_) | Self::TransferCoding)
    }

    pub(crate) fn into_response(self) -> Response<ResponseBody> {
        if let Self::Maintenance(notice) = &self {
            return notice.response();
        }
        let status = self.status();
        let mut response = Response::new(ResponseBody::text(self.text()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Self::Paused { retry_after } = self {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
        }
        if self.ends_connection() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::Insecure { location, .. } = self {
            response.headers_mut().insert(LOCATION, location);
            // A browser would keep it for good (RFC 9110, 15.4.2), also when the service has no TLS any more.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        response
    }
}
