//! Why an image could not be served or a connection broke.

use std::time::Duration;

use cutover_store::Digest;

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
            Self::Connection(_) | Self::Stalled { .. } => true,
            Self::NotAnImage { .. } | Self::NoSuchPlatform { .. } | Self::Incomplete { .. } => false,
        }
    }
}

fn listed(platforms: &[Platform]) -> String {
    platforms.iter().map(Platform::to_string).collect::<Vec<_>>().join(", ")
}
