//! Build contexts: a folder as one archive in the artifact store, and folders that are a commit of a Git repository.

mod advice;
mod bulk;
mod context;
mod dockerfile;
mod error;
mod git;
mod lock;
mod patterns;
mod repository;
mod scratch;
mod suspect;

pub use advice::{Advice, Concern};
pub use bulk::Bulk;
pub use context::{Context, inside};
pub use dockerfile::{advise, last_user};
pub use error::Error;
pub use git::git_settings;
pub use repository::{Commit, Repository};
pub use scratch::Scratch;

/// What a fallible operation answers.
pub type Result<T> = std::result::Result<T, Error>;
