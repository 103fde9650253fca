//! What can go wrong on the bus.

use std::time::Duration;

use async_nats::RequestErrorKind;
use async_nats::jetstream::ErrorCode;
use cutover_core::{BusUser, DecodeError, JournalId, Refused};

/// Codes of JetStream that async-nats has no name for, or another (nats-server, errors.json).
mod code {
    use super::ErrorCode;

    pub(super) const STORE_FAILED: ErrorCode = ErrorCode(10077);
}

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
        "the journal isn't set up on this NATS server: `cutover up` does it, or the first `cutover deploy` with NATS_URL set"
    )]
    NotSetUp,
    /// The server has its users in other accounts than this version.
    #[error(
        "the NATS server's configuration is that of an earlier version, which had all users of the bus in one account: how it is replaced \
         stands in docs/environment.md, \"The users of the bus\""
    )]
    EarlierServer,
    /// The client has ended by itself.
    #[error(
        "the connection to NATS has come to its end over a message that can't be read: start this process again"
    )]
    Deaf,
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
    /// The user of this connection may not say that.
    #[error("the NATS server doesn't let this user publish on '{subject}', which was tried while {doing}")]
    NotAllowed {
        /// What was being done.
        doing: &'static str,
        /// Where.
        subject: String,
    },
    /// The journal takes signed entries alone, and this connection has no key.
    #[error(
        "the journal takes signed entries alone, and no key was given while {doing}: set CUTOVER_NATS_KEY"
    )]
    Unsigned {
        /// What was being done.
        doing: &'static str,
    },
    /// The key of this connection isn't one that the journal takes signatures of.
    #[error(
        "the journal doesn't take what {user}'s key {key} signs, as was found while {doing}: the operator puts new keys in force with \
         `cutover keys FOLDER --in-force`"
    )]
    NotTaken {
        /// What was being done.
        doing: &'static str,
        /// Who it is.
        user: BusUser,
        /// The public key.
        key: String,
    },
    /// The journal takes other keys' signatures than those that were given.
    #[error(
        "the journal takes signatures of other keys than those that were given ({}). Where these are newer, put them in force: `cutover keys \
         FOLDER --in-force`; where they are older, replace the file by that folder's users.env",
        names(users)
    )]
    OtherUsers {
        /// Whose keys differ.
        users: Vec<BusUser>,
    },
    /// A key that can't be put in force.
    #[error(
        "a key can't be put in force that was retired, or is another user's: what it has signed since would count. Remove the files of keys \
         that were in force before, and make new ones with `cutover keys`"
    )]
    SpentKey,
    /// JetStream said no.
    #[error("JetStream refused while {doing}: {description}")]
    JetStream {
        /// What was being done.
        doing: &'static str,
        /// JetStream's error code, or the status of its answer.
        code: u64,
        /// Its words.
        description: String,
    },
    /// JetStream can't do it now: it has no leader, or a replica starts.
    #[error("JetStream can't serve while {doing}: {description}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why.
        description: String,
    },
    /// The server has another journal by now: its files were replaced, or it is another server.
    #[error(
        "the NATS server's journal is {now}, and was {before}: what this process knows of it holds no more, start it again"
    )]
    OtherJournal {
        /// The journal that was opened.
        before: JournalId,
        /// The one that is there.
        now: JournalId,
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
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::Request { .. }
                | Self::Unavailable { .. }
                | Self::Full
        )
    }

    /// Whether this process has to end over it: what it knows holds no more, or nothing will ever come.
    pub(crate) const fn ends_the_program(&self) -> bool {
        matches!(self, Self::OtherJournal { .. } | Self::EarlierServer | Self::Deaf)
    }

    /// Nobody takes what was sent: the stream has no leader at the moment, or is gone.
    pub(crate) fn leaderless(doing: &'static str) -> Self {
        Self::Unavailable { doing, description: "the journal's stream has no leader, or is gone".to_owned() }
    }

    /// A request that wasn't answered.
    pub(crate) fn of_request(doing: &'static str, limit: Duration, error: &async_nats::RequestError) -> Self {
        match error.kind() {
            RequestErrorKind::TimedOut => Self::Timeout { doing, seconds: limit.as_secs() },
            RequestErrorKind::NoResponders => Self::leaderless(doing),
            _ => Self::Request { doing, message: error.to_string() },
        }
    }

    /// What JetStream answered.
    pub(crate) fn of_jetstream(doing: &'static str, error: &async_nats::jetstream::Error) -> Self {
        let description = error.to_string();
        match error.error_code() {
            ErrorCode::STREAM_NOT_FOUND => Self::NotSetUp,
            ErrorCode::CLUSTER_NOT_AVAILABLE
            | ErrorCode::CLUSTER_NOT_LEADER
            | ErrorCode::CLUSTER_NO_PEERS => Self::Unavailable { doing, description },
            ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED => Self::Full,
            // The limits of the stream ("maximum messages exceeded"), the disk, or a store that is being closed.
            code::STORE_FAILED if description.contains("maximum") || description.contains("no space") => {
                Self::Full
            }
            code::STORE_FAILED => Self::Unavailable { doing, description },
            ErrorCode(code) => Self::JetStream { doing, code, description },
        }
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

fn names(users: &[BusUser]) -> String {
    users.iter().map(|user| user.as_str()).collect::<Vec<_>>().join(", ")
}
