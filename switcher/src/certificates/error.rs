//! Why a certificate could not be ordered, or brought to a proxy.

use std::time::Duration;

use cutover_core::HostName;

/// A reason why a service goes without its certificate, or will.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A host, or its proxy.
    #[error(transparent)]
    Fleet(Box<cutover_fleet::Error>),
    /// A certificate authority.
    #[error("the certificate authority failed while {doing}")]
    Authority {
        /// What it was to do.
        doing: &'static str,
        /// What it said, or why it can't be asked.
        source: Box<instant_acme::Error>,
    },
    /// What the servers of authorities are known by can't be read.
    #[error("the roots that the system trusts can't be read, or the one that CUTOVER_ACME_ROOT names")]
    Roots {
        /// Why.
        source: Box<instant_acme::Error>,
    },
    /// A certificate authority doesn't believe that a host is ours.
    #[error("the certificate authority asked {name}, and says: {problem}")]
    Refused {
        /// The host's name.
        name: String,
        /// Its words.
        problem: String,
    },
    /// A certificate authority asks for something else than what the proxies answer.
    #[error("the certificate authority doesn't ask {name} in this way: try the other `challenge`")]
    NoChallenge {
        /// The host's name.
        name: String,
    },
    /// The account that the proxies keep can't be read, or a new one can't be written.
    #[error("the account at the certificate authority can't be read or written")]
    Account,
    /// What the authority has issued is no certificate.
    #[error("the certificate that the authority has issued can't be read")]
    Unreadable,
    /// An order takes too long.
    #[error("ordering the certificate took longer than {} s", limit.as_secs())]
    Late {
        /// The limit.
        limit: Duration,
    },
    /// A proxy says that it has a certificate, and doesn't give it.
    #[error("the proxy on {host} doesn't give the certificate that it shows")]
    NoCertificate {
        /// The host.
        host: HostName,
    },
    /// A proxy goes on showing another certificate.
    #[error(
        "the proxy on {host} was given a certificate for {names}, and shows the one for {shown} all the same"
    )]
    NotShown {
        /// The host.
        host: HostName,
        /// Its names.
        names: String,
        /// Those of the other.
        shown: String,
    },
}

impl From<cutover_fleet::Error> for Error {
    fn from(error: cutover_fleet::Error) -> Self {
        Self::Fleet(Box::new(error))
    }
}
