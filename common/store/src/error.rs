//! Why the store could not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use cutover_core::Digest;

use crate::Trouble;

/// A failure of the store; names the digest and the file, or the object, that it is about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is stored under this digest.
    #[error("the artifact store has no {digest} (looked for {place})")]
    NotFound {
        /// What was asked for.
        digest: Digest,
        /// Where it would be.
        place: String,
    },
    /// What lies under this digest has another one: the disk or somebody changed it.
    #[error("{place} is corrupt: it should hold {digest} but holds {found}; delete it and store it again")]
    Corrupt {
        /// What should be there.
        digest: Digest,
        /// What is there.
        found: Digest,
        /// The file, or the object.
        place: String,
    },
    /// What was sent is not what was announced; nothing was stored.
    #[error("refused to store {size} bytes as {expected}: their digest is {found}; send them again")]
    Mismatch {
        /// What was announced.
        expected: Digest,
        /// What was sent.
        found: Digest,
        /// How much was sent, in bytes.
        size: u64,
    },
    /// More than the caller is prepared to hold in memory.
    #[error("{digest} is {size} bytes, more than the {limit} that fit here")]
    TooLarge {
        /// What was asked for.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// More than an upload to a bucket may have.
    #[error("the content is longer than the {limit} bytes that a bucket takes in one piece")]
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// The part that was asked for is not within the content.
    #[error("bytes {start}..{end} were asked of {digest}, which is {size} bytes long")]
    OutOfRange {
        /// What was asked for.
        digest: Digest,
        /// First byte of the part.
        start: u64,
        /// The byte after the last one of the part.
        end: u64,
        /// Length of the content in bytes.
        size: u64,
    },
    /// The content could not be read from whoever sends it.
    #[error("the content to store broke off after {received} bytes")]
    Source {
        /// How much came before, in bytes.
        received: u64,
        /// Why it broke off.
        #[source]
        source: io::Error,
    },
    /// The S3 server refused, or could not be asked.
    #[error("could not {action} {place}: {trouble}")]
    S3 {
        /// What was being done.
        action: &'static str,
        /// To which object or bucket, of which server.
        place: String,
        /// What is wrong, and what to do about it.
        trouble: Trouble,
        /// What the server or the network said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What is being removed at this moment was stored, again and again.
    #[error(
        "{place} was removed right after it was stored, several times; is a life-cycle rule or another program at work there?"
    )]
    Vanished {
        /// The object.
        place: String,
    },
    /// Reading broke off.
    #[error("could not read from the artifact store")]
    Read(#[source] io::Error),
    /// The file system refused.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later with nobody mending anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Mismatch { .. } | Self::Source { .. } => true,
            Self::S3 { trouble, .. } => trouble.retryable(),
            Self::Io { source, .. } | Self::Read(source) => !matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
            ),
            Self::NotFound { .. }
            | Self::Corrupt { .. }
            | Self::TooLarge { .. }
            | Self::TooLong { .. }
            | Self::Vanished { .. }
            | Self::OutOfRange { .. } => false,
        }
    }

    /// What a reader said: the store's own error, where it was one.
    pub(crate) fn of_reading(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Read)
    }

    /// Says what was being done to `path` when the file system refused.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
