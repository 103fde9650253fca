//! What can go wrong on the bus.

use cutover_core::{DecodeError, Refused};

/// An error of the bus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no server to talk to.
    #[error("can't reach NATS at {url}: {source}")]
    Unreachable {
        /// Without credentials.
        url: String,
        /// Why.
        source: async_nats::ConnectError,
    },
    /// The address can't be read.
    #[error("'{0}' is not a NATS address: expected nats://host:port")]
    Address(String),
    /// The journal's stream isn't there.
    #[error(
        "the journal isn't set up on this NATS server: run `cutover up`, or `cutover setup` for a standing server"
    )]
    NotSetUp,
    /// The stream is there, but nobody has given it an id.
    #[error("the stream '{0}' was not made by Cutover: it has no journal id")]
    ForeignStream(&'static str),
    /// No answer in time.
    #[error("no answer from NATS within {seconds} s while {doing}")]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The request could not be sent.
    #[error("NATS failed while {doing}: {message}")]
    Request {
        /// What was being done.
        doing: &'static str,
        /// What the client said.
        message: String,
    },
    /// JetStream said no.
    #[error("JetStream refused while {doing}: {description} (code {code})")]
    JetStream {
        /// What was being done.
        doing: &'static str,
        /// JetStream's error code.
        code: u64,
        /// Its words.
        description: String,
    },
    /// The log takes no more messages.
    #[error(
        "the journal is full: nothing was lost, and nothing can be recorded until the limits of its stream are raised"
    )]
    Full,
    /// An entry that can't be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A message that can't be read or written.
    #[error("a message could not be {doing}")]
    Content {
        /// Read or written.
        doing: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether the same may go better later.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. } | Self::Request { .. } | Self::Full)
    }
}

/// A decision that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// It can't be taken now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The bus failed. Whether the decision was taken is not known when the error is a timeout.
    #[error(transparent)]
    Bus(#[from] Error),
}
