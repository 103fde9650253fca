//! What can go wrong with a helper.

use std::io;
use std::path::{Path, PathBuf};

use cutover_model::Refusal;

/// Why a helper has ended before it was done.
#[derive(Debug, thiserror::Error)]
pub enum NotAssembled {
    /// It can't listen.
    #[error("listening on {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nobody came.
    #[error("nobody has connected")]
    Alone,
    /// The connection broke, or nothing came over it for too long.
    #[error("the connection to the shipper")]
    Connection(#[source] io::Error),
}

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection is gone.
    Lost(io::Error),
    /// It can't be done; the shipper is told.
    Refused(Refusal),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What the file system said, while `doing` something to a file.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Refusal {
    move |error| Refusal::Io {
        doing: format!("{doing} {}", path.display()),
        reason: error.to_string(),
        full: matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded),
    }
}
