//! Why traffic could not be moved.

use cutover_core::{DeploymentId, Failure, HostName};
use cutover_fleet::Trouble;
use cutover_verdict::Verdict;

/// A reason why traffic was not moved, or not for sure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host, or its proxy.
    #[error(transparent)]
    Fleet(#[from] cutover_fleet::Error),
    /// The new replicas under their share of the traffic.
    #[error(transparent)]
    Watch(#[from] cutover_watch::Error),
    /// The new version is judged to be worse than the old one beside it.
    #[error("the canary is judged, beside the old version: {}: {}", .0.outcome, reasons(.0))]
    Condemned(Box<Verdict>),
    /// The journal names no replicas on the host.
    #[error(
        "the journal names no replicas of deployment {deployment} on {host}: there is nothing to send traffic to"
    )]
    NoReplicas {
        /// The deployment.
        deployment: DeploymentId,
        /// The host.
        host: HostName,
    },
    /// A certificate of one's own, or its key, has no value.
    #[error("there is no value for proxy.tls.{key}")]
    Secret {
        /// The key of the deploy file, in `proxy.tls`.
        key: &'static str,
        /// Why not. It holds the reference alone.
        source: cutover_secrets::Error,
    },
    /// The proxy took a certificate of one's own, and shows another one.
    #[error(
        "the proxy on {host} was given the certificate of proxy.tls, and shows another one all the same, for {names}, valid \
         until {until} (Unix time)"
    )]
    OtherCertificate {
        /// The host.
        host: HostName,
        /// The names of the other one.
        names: String,
        /// Until when the other one is valid, in seconds of Unix time.
        until: u64,
    },
    /// A replica that was ready can't serve any more.
    #[error("{0} after it was ready, and before it had any traffic")]
    Trouble(Box<Trouble>),
    /// A replica that was ready failed the proxy's health check.
    #[error("{replica} on {host} was ready, and now fails its health check, {check}: {found}")]
    NotReady {
        /// The replica.
        replica: String,
        /// Its host.
        host: HostName,
        /// What the proxy asks.
        check: String,
        /// What it answered, or why it didn't.
        found: String,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
    /// The proxy took the switch, and serves something else.
    #[error(
        "the proxy on {host} took the switch to deployment {deployment}, and serves {} all the same",
        named(serving)
    )]
    NotServing {
        /// The host.
        host: HostName,
        /// The deployment that should serve.
        deployment: DeploymentId,
        /// The one that does.
        serving: Option<String>,
    },
    /// The proxy took the restore, and still serves what was to be taken back.
    #[error("the proxy on {host} took back deployment {deployment}, and serves it all the same")]
    StillServing {
        /// The host.
        host: HostName,
        /// The deployment.
        deployment: DeploymentId,
    },
}

impl Error {
    /// Whether another attempt may go better.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Fleet(source) => source.retryable(),
            Self::Watch(source) => source.retryable(),
            Self::NotReady { .. } | Self::NotServing { .. } | Self::StillServing { .. } => true,
            Self::Secret { source, .. } => source.retryable(),
            Self::NoReplicas { .. }
            | Self::Condemned(_)
            | Self::OtherCertificate { .. }
            | Self::Trouble(_) => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::of(&error, error.retryable());
        match error {
            Error::Fleet(source) => source.into(),
            Error::Watch(source) => source.into(),
            Error::Trouble(trouble) => Self { message: failure.message, ..(*trouble).into() },
            Error::NotReady { last_lines, .. } => failure.tail(last_lines),
            Error::Condemned(verdict) => {
                failure.tail(verdict.evidence.to_string().lines().map(str::to_owned).collect())
            }
            Error::NoReplicas { .. } => failure.hint("boot it again: `cutover replay --from boot`"),
            Error::Secret { .. } => failure.hint(
                "what is in a store of secrets is read by the switcher, by its own environment; all else is brought along by whoever deploys",
            ),
            Error::OtherCertificate { .. } => failure.hint(
                "an older proxy keeps the one that ends later, where one authority has signed both: upgrade it \
                 (`cutover proxy upgrade`)",
            ),
            Error::NotServing { .. } | Error::StillServing { .. } => failure,
        }
    }
}

/// Why a verdict is what it is, in one line.
pub(crate) fn reasons(verdict: &Verdict) -> String {
    verdict.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn named(serving: &Option<String>) -> String {
    serving.as_ref().map_or_else(|| "nothing".to_owned(), |deployment| format!("deployment {deployment}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_died_is_never_tried_again_and_says_its_last_words() {
        let trouble = Trouble {
            replica: "hello-1".into(),
            host: "198.18.0.2".parse().unwrap(),
            what: "exited with code 3".into(),
            out_of_memory: false,
            last_lines: vec!["no such table: posts".into()],
        };
        let failure = Failure::from(Error::Trouble(Box::new(trouble)));
        assert_eq!(
            failure.message,
            "hello-1 on 198.18.0.2 exited with code 3 after it was ready, and before it had any traffic"
        );
        assert!(!failure.retry);
        assert_eq!(failure.tail, ["no such table: posts"]);
    }
}
