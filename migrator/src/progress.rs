//! What is told while migrations run.

use std::time::Duration;

use crate::{Backend, Backends, Version};

/// One step of an expansion.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Another session holds the database's turn; told once.
    Waiting {
        /// The session, where it could be seen.
        holder: Option<Backend>,
    },
    /// A migration begins.
    Began {
        /// The migration.
        version: Version,
        /// Its file's name.
        file: String,
    },
    /// A lock wasn't given in time; the migration was rolled back and is tried again.
    Blocked {
        /// The migration.
        version: Version,
        /// The tries so far.
        tries: u32,
        /// The sessions that hold the lock, where they could be seen.
        blockers: Backends,
    },
    /// An index that was left invalid is dropped, to be built again.
    Rebuilding {
        /// The migration.
        version: Version,
        /// The index.
        index: String,
    },
    /// A migration was applied.
    Applied {
        /// The migration.
        version: Version,
        /// Its file's name.
        file: String,
        /// How long it took, waits included.
        took: Duration,
    },
}
