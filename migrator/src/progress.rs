//! What is told while migrations run.

use std::fmt;
use std::time::Duration;

use cutover_core::HeldLock;
use cutover_migration::Version;

use crate::{Backend, Backends};

/// One step of a run through what is due.
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
        /// Whether the session was ended with it, as its query could not be cancelled, or was to no avail.
        closed: bool,
    },
    /// An index that was left invalid is dropped, to be built again.
    Rebuilding {
        /// The migration.
        version: Version,
        /// The index.
        index: String,
    },
    /// Somebody may be building the index, which is invalid; he is waited for.
    Building {
        /// The migration.
        version: Version,
        /// The index.
        index: String,
        /// The session that is at work on the indexes of its table.
        builder: Backend,
    },
    /// A backfill has come so far; told once a second, and at the end of a walk through the table.
    Filled {
        /// The migration.
        version: Version,
        /// Rows of all batches, those of earlier runs included.
        rows: u64,
        /// About how many rows there are, where the server has counted them.
        expected: Option<u64>,
        /// Rows per second of this run, its pauses included.
        rate: f64,
        /// About how long it will go on.
        left: Option<Duration>,
    },
    /// A batch was given up; it is tried again with fewer rows.
    GaveWay {
        /// The migration.
        version: Version,
        /// The rows of the next one.
        batch: u32,
        /// The sessions that were in the way, where they could be seen.
        blockers: Backends,
    },
    /// A backfill waits for replicas; told once each time.
    Lagging {
        /// The migration.
        version: Version,
        /// How far they are behind.
        lag: Duration,
    },
    /// A backfill waits until the server has written more of its data, as its redo log is nearly full; told now and then.
    Flushing {
        /// The migration.
        version: Version,
        /// How full the log is, in percent.
        percent: u32,
    },
    /// There are rows left after a walk through the table: it is walked through again.
    Again {
        /// The migration.
        version: Version,
        /// How many rows, or "more than" so many.
        left: String,
    },
    /// What a transaction has done, in a rehearsal; told before it is committed.
    Changed {
        /// The migration.
        version: Version,
        /// The rows that its statements wrote.
        rows: u64,
        /// The locks that others wait for.
        locks: Vec<HeldLock>,
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
            Self::Ended { blocker, closed: false } => {
                write!(f, "cancelled the query that was in the way: {blocker}")
            }
            Self::Ended { blocker, closed: true } => {
                write!(f, "closed the session that was in the way: {blocker}")
            }
            Self::Rebuilding { version, index } => {
                write!(f, "{version}: dropping the invalid index {index}, to build it again")
            }
            Self::Building { version, index, builder } => {
                write!(
                    f,
                    "{version}: the index {index} is INVALID and may be on its way: waiting for {builder}"
                )
            }
            Self::Filled { version, rows, expected, rate, left } => {
                write!(f, "{version}: {rows}")?;
                expected.map_or(Ok(()), |expected| write!(f, " of about {expected}"))?;
                write!(f, " rows, {rate:.0} rows/s")?;
                left.map_or(Ok(()), |left| write!(f, ", about {} s left", left.as_secs()))
            }
            Self::GaveWay { version, batch, blockers } => {
                write!(f, "{version}: a batch gave way; {batch} rows in the next; in the way were {blockers}")
            }
            Self::Lagging { version, lag } => {
                write!(f, "{version}: waiting for replicas, which are {:.1} s behind", lag.as_secs_f64())
            }
            Self::Flushing { version, percent } => {
                write!(
                    f,
                    "{version}: waiting for the server to write its data: its redo log is {percent} % full"
                )
            }
            Self::Again { version, left } => {
                write!(f, "{version}: {left} rows are left; walking through the table again")
            }
            Self::Changed { version, rows, locks } => {
                write!(f, "{version}: {rows} rows; ")?;
                match locks.as_slice() {
                    [] => f.write_str("holds nothing that others wait for"),
                    [first, more @ ..] => {
                        write!(f, "holds {} of {}", first.mode, first.table)?;
                        more.iter().try_for_each(|lock| write!(f, ", {} of {}", lock.mode, lock.table))?;
                        write!(f, " for {} at most", first.held)
                    }
                }
            }
            Self::Applied { file, took, .. } => write!(f, "applied {file} in {:.2} s", took.as_secs_f64()),
        }
    }
}
