//! Why a delivery is refused, as its sender is told.

use std::time::Duration;

use hyper::StatusCode;

/// A reason to refuse a delivery.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nothing but hooks is served.
    #[error("nothing is here: deliver to /hooks/SOURCE, where SOURCE is one that the triggers file names")]
    NoSource,
    /// Something else than POST.
    #[error("POST only")]
    Method,
    /// A body beyond the limit.
    #[error("the body is larger than {0} bytes: raise limits.body of the triggers file, or send less")]
    TooLarge(u64),
    /// A body that doesn't come.
    #[error("the body didn't come: {0}")]
    NoBody(String),
    /// Nobody vouches for it.
    #[error("there is no {0}, or more than one: give the webhook its secret")]
    Unsigned(&'static str),
    /// Somebody does who doesn't know the secret, or for something else.
    #[error(
        "the {0} is not what the source's secret makes of this delivery: both have to have the same secret"
    )]
    Forged(&'static str),
    /// Its time isn't now.
    #[error("the {header} is more than {window} s away from now: send it again, by a clock that is right")]
    Stale {
        /// The header that has the time.
        header: &'static str,
        /// How far it may be away.
        window: u64,
    },
    /// What it says can't be read.
    #[error("the body is not what this kind of source sends as application/json: {0}")]
    Body(String),
    /// More than the source may send.
    #[error("too many deliveries: at most {0} a minute are taken of this source")]
    TooMany(u32),
    /// The bus has not taken it.
    #[error("what is asked for can't be stored now: send it again")]
    Away,
}

impl Refusal {
    /// The status of the answer.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::NoSource => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unsigned(_) => StatusCode::UNAUTHORIZED,
            Self::Forged(_) | Self::Stale { .. } => StatusCode::FORBIDDEN,
            Self::NoBody(_) | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Away => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// How long the sender is to wait before it sends again, where that may help.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany(_) => Some(Duration::from_secs(60)),
            Self::Away => Some(Duration::from_secs(10)),
            _ => None,
        }
    }
}
