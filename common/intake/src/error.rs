//! Why a model could not be taken into the store.

use std::io;

use cutover_store::Digest;

/// A failure of the intake; names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, or a folder, can't be read.
    #[error("reading {place}")]
    Read {
        /// Where it is.
        place: String,
        /// Why not.
        source: io::Error,
    },
    /// Folders in folders, without an end: a link that leads back, mostly.
    #[error("{place} is in {depth} folders below the model's: does a link lead back?")]
    Deep {
        /// Where it is.
        place: String,
        /// How deep.
        depth: usize,
    },
    /// A bucket has nothing there.
    #[error("there is nothing at {place}")]
    Nothing {
        /// Where.
        place: String,
    },
    /// A server on the web has no such file, or doesn't give it.
    #[error("{place} was answered with status {status}")]
    Status {
        /// Its address.
        place: String,
        /// The status (RFC 9110, 15).
        status: u16,
    },
    /// What was found is something else.
    #[error("what is at {place} is not what it should be: it is {found}, and the deploy file says {wanted}")]
    Other {
        /// Where.
        place: String,
        /// What should be there.
        wanted: Digest,
        /// What is there.
        found: String,
    },
    /// A name that no manifest can have.
    #[error("{place} has a name that is not UTF-8")]
    Name {
        /// Where it is, as far as it can be written.
        place: String,
    },
    /// What was found is no model.
    #[error("the files of {place} make no model")]
    Manifest {
        /// Where they are.
        place: String,
        /// Why not.
        source: cutover_model::Error,
    },
    /// The artifact store.
    #[error(transparent)]
    Store(#[from] cutover_store::Error),
}

impl Error {
    /// Whether the same may go better later with nobody mending anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Store(source) => source.retryable(),
            Self::Read { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            }
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            Self::Nothing { .. }
            | Self::Other { .. }
            | Self::Deep { .. }
            | Self::Name { .. }
            | Self::Manifest { .. } => false,
        }
    }
}
