//! Why there is no build context.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A failure to pack a folder, or to get a commit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The context has no Dockerfile.
    #[error("there is no {} in the build context {}", dockerfile.display(), folder.display())]
    NoDockerfile {
        /// The context.
        folder: PathBuf,
        /// Relative to it.
        dockerfile: PathBuf,
    },
    /// A line of a `.dockerignore` file is no pattern.
    #[error("{} can't be understood", file.display())]
    Pattern {
        /// The file.
        file: PathBuf,
        /// Why.
        source: globset::Error,
    },
    /// A file that is read leads out of its folder, or is no file.
    #[error("{} is no file of {}: it may be no link that leads out of there", path.display(), folder.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The folder that it has to be in.
        folder: PathBuf,
    },
    /// A text is longer than anybody writes one.
    #[error("{} is larger than 1 MiB", .0.display())]
    LargeText(PathBuf),
    /// A file became shorter while it was packed.
    #[error("{} changed while it was packed", .0.display())]
    Changed(PathBuf),
    /// The archive can't be written.
    #[error("the build context can't be packed")]
    Archive(#[source] io::Error),
    /// The file system said no.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The artifact store failed.
    #[error(transparent)]
    Store(#[from] cutover_store::Error),
    /// There is no Git.
    #[error("could not run git; install it (apt-get install git), on the machine of the builder too")]
    NoGit(#[source] io::Error),
    /// Git refused.
    #[error("git could not {action} {url}: {reason}")]
    Git {
        /// What it was asked to do.
        action: &'static str,
        /// With which repository.
        url: String,
        /// The first of what it said.
        reason: String,
    },
    /// The repository has no such branch or tag.
    #[error("{url} has no branch or tag '{reference}'; a commit must be given in full, with all 40 digits")]
    NoReference {
        /// The repository.
        url: String,
        /// What was asked for.
        reference: String,
    },
    /// The commit has no such folder.
    #[error("commit {commit} of {url} has no folder '{folder}'")]
    NoFolder {
        /// The repository.
        url: String,
        /// The commit.
        commit: String,
        /// The folder of the context.
        folder: String,
    },
    /// Git took longer than allowed.
    #[error("git took longer than {} s to {action} {url}", limit.as_secs())]
    TimedOut {
        /// What it was asked to do.
        action: &'static str,
        /// With which repository.
        url: String,
        /// The limit.
        limit: Duration,
    },
}

impl Error {
    /// Says what was being done to `path` when the file system said no.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the same may succeed later although nobody has mended anything. Git doesn't say whether it was the network.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Git { .. } | Self::TimedOut { .. } | Self::Changed(_) => true,
            Self::Store(source) => source.retryable(),
            Self::NoDockerfile { .. }
            | Self::Pattern { .. }
            | Self::Outside { .. }
            | Self::LargeText(_)
            | Self::Archive(_)
            | Self::Io { .. }
            | Self::NoGit(_)
            | Self::NoReference { .. }
            | Self::NoFolder { .. } => false,
        }
    }

    /// What to do next, where that is known.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoDockerfile { .. } => Some(
                "name it in the deploy file (`builder: {dockerfile: …}`), or an image that exists (`image: …`)",
            ),
            Self::Changed(_) => Some("try again; if the application writes there, name it in .dockerignore"),
            Self::Git { .. } => Some(
                "over SSH, the host's key must be in known_hosts and a key of the agent or the user accepted; `git ls-remote` with that URL must work without asking anything",
            ),
            _ => None,
        }
    }
}
