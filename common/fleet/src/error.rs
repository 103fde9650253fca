//! What can go wrong between a program and a host, and what a deployment is told of it.

use cutover_control::Refusal;
use cutover_core::{Failure, HostName};

/// An error of a host or its proxy. Every message names the host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host itself.
    #[error(transparent)]
    Host(#[from] cutover_host::Error),
    /// There is no proxy, or it doesn't run.
    #[error("no proxy answers on {host}")]
    NoProxy {
        /// The host.
        host: String,
        /// Why not.
        source: cutover_host::Error,
    },
    /// The proxy said no.
    #[error("the proxy on {host} refused: {refusal}")]
    Refused {
        /// The host.
        host: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// The proxy's answer can't be understood, or isn't one to what was asked.
    #[error("the proxy on {host} gave no answer that can be understood")]
    Answer {
        /// The host.
        host: String,
        /// Why not; none where it answered something else.
        source: Option<cutover_control::Error>,
    },
    /// The proxy did not answer in time.
    #[error("the proxy on {host} did not answer within {seconds} s")]
    Silent {
        /// The host.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// The connection to the proxy broke.
    #[error("the connection to the proxy on {host} broke")]
    Broken {
        /// The host.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// A secret has no value.
    #[error("there is no value for the secret {variable}")]
    Secret {
        /// The variable that needs it.
        variable: String,
        /// Why not.
        source: cutover_secrets::Error,
    },
    /// A value that no environment can carry.
    #[error("the value of {variable} holds a NUL byte, which no environment can carry")]
    Nul {
        /// The variable.
        variable: String,
    },
    /// A network that the deploy file names isn't there.
    #[error("there is no network {name} on {host}")]
    NoOtherNetwork {
        /// The network.
        name: String,
        /// The host.
        host: HostName,
    },
    /// Docker has no subnet left for a network.
    #[error("Docker on {host} has no subnet left for the network {name}")]
    NoSubnet {
        /// The network.
        name: String,
        /// The host.
        host: HostName,
    },
    /// Others always were first.
    #[error("the network {name} could not be made on {host}: others take its subnet again and again")]
    NoNetwork {
        /// The network.
        name: String,
        /// The host.
        host: HostName,
    },
}

impl Error {
    /// Whether the same may go better later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Host(source) => source.retryable(),
            Self::NoProxy { .. } | Self::Silent { .. } | Self::Broken { .. } | Self::NoNetwork { .. } => true,
            Self::Refused { refusal, .. } => refusal.retryable(),
            Self::Secret { source, .. } => source.retryable(),
            Self::Answer { .. } | Self::Nul { .. } | Self::NoOtherNetwork { .. } | Self::NoSubnet { .. } => {
                false
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::of(&error, error.retryable());
        match &error {
            // It tells its cause in its own words; what lies between them is about libraries.
            Error::Host(host) => Self { message: host.to_string(), ..failure },
            Error::NoProxy { .. } => failure.hint("put it there with `cutover setup`, or look at `docker logs cutover-proxy`"),
            Error::Refused { refusal: Refusal::ForeignJournal { .. }, .. } => failure.hint(
                "another control plane deploys this service; if it is gone for good, `cutover adopt` hands the service over to this one",
            ),
            Error::Refused { refusal: Refusal::StaleEpoch { .. }, .. } => {
                failure.hint("something newer was decided for this service: `cutover status` says what")
            }
            Error::Answer { .. } => failure.hint("the proxy may be of another version: `cutover proxy upgrade`"),
            Error::NoOtherNetwork { name, .. } => {
                let hint = format!(
                    "make it there with `docker network create {name}`, or take it out of container.networks"
                );
                failure.hint(hint)
            }
            Error::NoSubnet { .. } => failure.hint(
                "remove networks that nobody uses with `docker network prune`, or give Docker more of them: `default-address-pools` in \
                 /etc/docker/daemon.json",
            ),
            Error::Secret { .. } => failure.hint(
                "what is in a store of secrets is read by the program that starts the container, by its own environment; all else is brought \
                 along by whoever deploys",
            ),
            _ => failure,
        }
    }
}
