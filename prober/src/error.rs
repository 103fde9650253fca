//! Why new replicas can't have the traffic, or can't keep it.

use cutover_core::{Failure, HostName, SidecarName};
use cutover_fleet::NoAnswer;

use crate::Late;

/// A reason why a deployment does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal names no replicas on a host.
    #[error("the journal names no new replicas on {host}: there is nobody to ask")]
    NoReplicas {
        /// The host.
        host: HostName,
    },
    /// A sidecar that the replicas ask isn't there, or doesn't run.
    #[error("of sidecar {sidecar}, {host} has fewer containers than are wanted")]
    NoSidecar {
        /// The sidecar.
        sidecar: SidecarName,
        /// The host.
        host: HostName,
    },
    /// The host's proxy would not take the traffic to them.
    #[error(transparent)]
    Proxy(#[from] Box<cutover_fleet::Error>),
    /// A replica can't serve any more, or nobody can say.
    #[error(transparent)]
    Watch(#[from] cutover_watch::Error),
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
    /// A replica has failed a probe as often in a row as is enough.
    #[error("{replica} on {host} failed {probe} {times} times in a row: {said}")]
    Failed {
        /// The key of the probe in the deploy file.
        probe: &'static str,
        /// The replica.
        replica: String,
        /// Its host.
        host: HostName,
        /// How often.
        times: u32,
        /// What it said last.
        said: String,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
    /// Replicas are not ready in time.
    #[error(transparent)]
    Late(Box<Late>),
}

impl Error {
    /// Whether another attempt may go better.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Proxy(source) => source.retryable(),
            Self::Watch(source) => source.retryable(),
            Self::NoReplicas { .. }
            | Self::NoSidecar { .. }
            | Self::Unaskable { .. }
            | Self::Failed { .. }
            | Self::Late(_) => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::of(&error, error.retryable());
        match error {
            Error::NoSidecar { .. } => failure.hint(
                "boot it again: `cutover replay --from boot`; of a rollback to what was kept warm, `cutover rollback --boot`",
            ),
            Error::NoReplicas { .. } => failure.hint("boot them again: `cutover replay --from boot`"),
            Error::Proxy(source) => (*source).into(),
            Error::Watch(source) => source.into(),
            Error::Unaskable { source, .. } => match *source {
                NoAnswer::Question { .. } => failure.hint("mend the path of the probe in the deploy file"),
                NoAnswer::NoHealthCheck { .. } => failure.hint(
                    "give the Dockerfile a HEALTHCHECK, or let the probe ask something else in the deploy file",
                ),
                _ => failure,
            },
            Error::Failed { last_lines, .. } => failure.tail(last_lines),
            Error::Late(late) => failure.hint(late.hint()).tail(late.last_lines),
        }
    }
}
