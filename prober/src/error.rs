//! Why new replicas can't have the traffic, or can't keep it.

use std::time::Duration;

use cutover_core::{DeploymentId, Failure, HostName};
use cutover_fleet::{NoAnswer, Trouble};

use crate::Late;
use crate::verdict::TooManyErrors;

/// A reason why a deployment does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal names no replicas on a host.
    #[error("the journal names no new replicas on {host}: there is nobody to ask")]
    NoReplicas {
        /// The host.
        host: HostName,
    },
    /// The host's proxy would not take the traffic to them.
    #[error(transparent)]
    Proxy(#[from] Box<cutover_fleet::Error>),
    /// A replica can't serve any more.
    #[error(transparent)]
    Trouble(Box<Trouble>),
    /// A replica can't be asked, now or later.
    #[error("{replica} on {host} can't be asked whether it is ready")]
    Unaskable {
        /// The replica.
        replica: String,
        /// Its host.
        host: HostName,
        /// Why not.
        source: Box<NoAnswer>,
    },
    /// Replicas are not ready in time.
    #[error(transparent)]
    Late(Box<Late>),
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
        /// The deployment that should serve.
        deployment: DeploymentId,
        /// The one that does.
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
    pub fn retryable(&self) -> bool {
        match self {
            Self::Proxy(source) => source.retryable(),
            Self::Unread { .. } => true,
            Self::NoReplicas { .. }
            | Self::Trouble(_)
            | Self::Unaskable { .. }
            | Self::Late(_)
            | Self::NotServing { .. }
            | Self::TooManyErrors { .. } => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::of(&error, error.retryable());
        match error {
            Error::NoReplicas { .. } => failure.hint("boot them again: `cutover replay --from boot`"),
            Error::Proxy(source) => (*source).into(),
            Error::Trouble(trouble) => (*trouble).into(),
            Error::Unaskable { source, .. } if matches!(*source, NoAnswer::Path { .. }) => {
                failure.hint("mend readiness_probe.path in the deploy file")
            }
            Error::Late(late) => failure.hint(late.hint()).tail(late.last_lines),
            Error::TooManyErrors { last_lines, .. } => failure.tail(last_lines),
            Error::NotServing { .. } => {
                failure.hint("something else has switched that proxy: `cutover status` says what is live")
            }
            Error::Unaskable { .. } | Error::Unread { .. } => failure,
        }
    }
}

fn named(serving: &Option<String>) -> String {
    serving.as_ref().map_or_else(|| "nothing".to_owned(), |deployment| format!("deployment {deployment}"))
}
