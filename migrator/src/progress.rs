//! What is told while migrations run.

use std::fmt;
use std::time::Duration;

use cutover_migration::Version;

use crate::{Backend, Backends};

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
    /// A transaction that was in the way for longer than it may be was ended.
    Ended {
        /// Its session, as it was.
        blocker: Backend,
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

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { holder: Some(holder) } => write!(f, "waiting for another migrator: {holder}"),
            Self::Waiting { holder: None } => f.write_str("waiting for another migrator"),
            Self::Began { file, .. } => write!(f, "applying {file}"),
            Self::Blocked { version, tries, blockers } => {
                write!(f, "{version}: no lock after {tries} tries; held by {blockers}")
            }
            Self::Ended { blocker } => write!(f, "ended the transaction that was in the way: {blocker}"),
            Self::Rebuilding { version, index } => {
                write!(f, "{version}: dropping the invalid index {index}, to build it again")
            }
            Self::Applied { file, took, .. } => write!(f, "applied {file} in {:.2} s", took.as_secs_f64()),
        }
    }
}
