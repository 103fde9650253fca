//! Why a new version can't keep its traffic.

use std::time::Duration;

use cutover_core::{DeploymentId, Failure, HostName};
use cutover_fleet::Trouble;

use crate::tally::TooManyErrors;

/// What was seen, or could not be seen, of a new version.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A replica can't serve any more.
    #[error(transparent)]
    Trouble(Box<Trouble>),
    /// A host could not be watched for too long.
    #[error("{host} can't be watched: {what} could not be read for {} s", limit.as_secs())]
    Unread {
        /// The host.
        host: HostName,
        /// What could not be read.
        what: String,
        /// For how long.
        limit: Duration,
        /// The last reason; none: it never answered.
        source: Option<Box<cutover_fleet::Error>>,
    },
    /// A proxy sends its traffic elsewhere.
    #[error("the proxy on {host} sends its traffic to {}, not to deployment {deployment}", named(serving))]
    NotServing {
        /// The host.
        host: HostName,
        /// The deployment that should have it.
        deployment: DeploymentId,
        /// The one that has it.
        serving: Option<String>,
    },
    /// The new version fails more often than it may.
    #[error("{verdict}")]
    TooManyErrors {
        /// The counts.
        verdict: TooManyErrors,
        /// The last lines that a replica wrote, on the host with the most errors.
        last_lines: Vec<String>,
    },
}

impl Error {
    /// Whether another attempt may go better.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unread { .. })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::of(&error, error.retryable());
        match error {
            Error::Trouble(trouble) => (*trouble).into(),
            Error::TooManyErrors { last_lines, .. } => failure.tail(last_lines),
            Error::NotServing { .. } => {
                failure.hint("something else has switched that proxy: `cutover status` says what is live")
            }
            Error::Unread { .. } => failure,
        }
    }
}

fn named(serving: &Option<String>) -> String {
    serving.as_ref().map_or_else(|| "nothing".to_owned(), |deployment| format!("deployment {deployment}"))
}
