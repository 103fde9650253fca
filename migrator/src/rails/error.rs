//! Why Rails' migrations could not be run.

use cutover_core::{Failure, HostName, Span};
use cutover_fleet::ImageName;

/// Why Rails' migrations could not be run. What had been applied before it stays applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RailsError {
    /// The host, its Docker, or what the container is made of.
    #[error(transparent)]
    Fleet(Box<cutover_fleet::Error>),
    /// The fence in the database refuses.
    #[error(transparent)]
    Database(Box<crate::Error>),
    /// There are more migrations than can be named.
    #[error("the release has {migrations} migrations, more than the environment of a container can name")]
    TooMany {
        /// How many there are.
        migrations: usize,
    },
    /// The host doesn't have the image.
    #[error("there is no image {image} on {host}, to run the migrations in")]
    NoImage {
        /// The image.
        image: ImageName,
        /// The host.
        host: HostName,
    },
    /// Another one is at work, or has been a moment ago.
    #[error("another container on {host} has the name {name}: {why}")]
    Taken {
        /// The name.
        name: String,
        /// The host.
        host: HostName,
        /// Whose it is.
        why: &'static str,
    },
    /// It is gone.
    #[error("the container {name} on {host} was removed while it ran")]
    Gone {
        /// The container.
        name: String,
        /// The host.
        host: HostName,
    },
    /// It has ended without having done all.
    #[error("{reason} (in a container on {host}, which {what})")]
    Ended {
        /// Why, in the words of what ran in it.
        reason: String,
        /// The host.
        host: HostName,
        /// How it has ended, as the end of a sentence.
        what: String,
        /// Whether the same may go better later.
        passing: bool,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
    /// It takes too long.
    #[error("the migrations took longer than {limit}")]
    Late {
        /// The limit.
        limit: Span,
    },
}

impl RailsError {
    pub(super) fn retryable(&self) -> bool {
        match self {
            Self::Fleet(source) => source.retryable(),
            Self::Database(source) => source.retryable(),
            Self::Taken { .. } | Self::Gone { .. } => true,
            Self::Ended { passing, .. } => *passing,
            Self::TooMany { .. } | Self::NoImage { .. } | Self::Late { .. } => false,
        }
    }
}

impl From<cutover_fleet::Error> for RailsError {
    fn from(error: cutover_fleet::Error) -> Self {
        Self::Fleet(Box::new(error))
    }
}

impl From<cutover_host::Error> for RailsError {
    fn from(error: cutover_host::Error) -> Self {
        cutover_fleet::Error::from(error).into()
    }
}

impl From<RailsError> for Failure {
    fn from(error: RailsError) -> Self {
        let failure = Self::of(&error, error.retryable());
        match error {
            RailsError::Fleet(error) => (*error).into(),
            RailsError::NoImage { .. } => failure.hint("send it again: `cutover replay --from ship`"),
            RailsError::Ended { passing: true, last_lines, .. } => failure
                .tail(last_lines)
                .hint("end what is in the way, then `cutover replay`: nothing is built or shipped again"),
            RailsError::Ended { last_lines, .. } => failure.tail(last_lines),
            RailsError::Late { .. } => {
                failure.hint("raise timeouts.migrate in the deploy file; what was applied stays applied")
            }
            _ => failure,
        }
    }
}
