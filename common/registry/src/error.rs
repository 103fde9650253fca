//! Why an image could not be served or a connection broke.

use std::time::Duration;

use cutover_store::Digest;
use hyper::StatusCode;

use crate::manifest::{InvalidManifest, Platform};

/// A failure of the registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The artifact store failed.
    #[error(transparent)]
    Store(#[from] cutover_store::Error),
    /// What should be an image manifest is none.
    #[error("{digest} in the artifact store is no image manifest")]
    NotAnImage {
        /// What was read.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: InvalidManifest,
    },
    /// The image exists, but not for the host's platform.
    #[error("image {image} has nothing for {wanted}; it was built for {}", listed(available))]
    NoSuchPlatform {
        /// The image index.
        image: Digest,
        /// What the host runs.
        wanted: Platform,
        /// What the index lists.
        available: Vec<Platform>,
    },
    /// A part of the image isn't in the artifact store.
    #[error("image {image} is incomplete: the artifact store lacks {part}; build it again")]
    Incomplete {
        /// The image.
        image: Digest,
        /// The config or layer that is missing.
        part: Digest,
    },
    /// The HTTP connection broke or the peer broke its rules.
    #[error("a registry connection broke")]
    Connection(#[source] hyper::Error),
    /// A registry elsewhere can't be reached, or the connection broke.
    #[error("registry {registry} can't be reached, or broke off")]
    Unreachable {
        /// Its name.
        registry: String,
        /// What went wrong.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// A registry elsewhere, or who gives out tokens for it, doesn't answer.
    #[error("{registry} didn't answer within {} s", after.as_secs())]
    Silent {
        /// Its name.
        registry: String,
        /// How long it had.
        after: Duration,
    },
    /// A registry elsewhere didn't do what it was asked to.
    #[error("registry {registry} refused to {doing}: {status} {reason}")]
    Refused {
        /// Its name.
        registry: String,
        /// What it was asked to do.
        doing: &'static str,
        /// Its answer.
        status: StatusCode,
        /// Its words.
        reason: String,
    },
    /// Name and password don't open it.
    #[error("registry {registry} doesn't let {username} in, or not to push there: {status} {reason}")]
    NotLetIn {
        /// Its name.
        registry: String,
        /// Whose password it was.
        username: String,
        /// Its answer.
        status: StatusCode,
        /// Its words.
        reason: String,
    },
    /// It wants to be shown a token that can't be had.
    #[error("no token for registry {registry} could be had from {realm}: {reason}")]
    NoToken {
        /// The registry's name.
        registry: String,
        /// Where it says that they are given out.
        realm: String,
        /// Why not.
        reason: String,
    },
    /// What is named as a registry can't be one.
    #[error("{registry} can't be the name of a registry")]
    NoRegistry {
        /// The name.
        registry: String,
    },
    /// This machine trusts nobody.
    #[error("no certificates that this machine trusts could be read")]
    Roots(#[source] std::io::Error),
    /// Nothing moved on the connection.
    #[error("nothing moved on a registry connection for {} s; dropped it", after.as_secs())]
    Stalled {
        /// For how long.
        after: Duration,
    },
}

impl Error {
    /// Whether the same call may succeed later with nobody mending anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store(source) => source.retryable(),
            Self::Connection(_) | Self::Stalled { .. } | Self::Unreachable { .. } | Self::Silent { .. } => {
                true
            }
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::NotAnImage { .. }
            | Self::NoSuchPlatform { .. }
            | Self::Incomplete { .. }
            | Self::NotLetIn { .. }
            | Self::NoToken { .. }
            | Self::NoRegistry { .. }
            | Self::Roots(_) => false,
        }
    }
}

fn listed(platforms: &[Platform]) -> String {
    platforms.iter().map(Platform::to_string).collect::<Vec<_>>().join(", ")
}
