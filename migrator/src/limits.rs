//! How long things may take.

use std::time::Duration;

/// The limits of every wait on the database.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Until the connection stands. Default 10 s.
    pub connect: Duration,
    /// Until another migrator, or what a killed one left running, has let go of the database. Default 60 s.
    pub turn: Duration,
    /// One wait for a lock. All who come after it to the same table wait behind it, so it is what the application
    /// notices at most: default 100 ms.
    pub lock: Duration,
    /// The longest wait for a lock, when most of the patience is spent and no old transaction is in the way. Default 300 ms.
    pub longest_lock: Duration,
    /// How long a transaction must have been open for it to be ended when it holds what is waited for. None, the default:
    /// none is ended.
    pub end_blockers: Option<Duration>,
    /// All tries of one migration to get its locks. Default 60 s.
    pub patience: Duration,
    /// One statement in a transaction, its locks held. Default 15 minutes: a change that expands takes milliseconds, but
    /// validating a constraint on a large table takes minutes and blocks nobody; what takes longer still is a rewrite
    /// that shouldn't be here.
    pub statement: Duration,
    /// One wait of CREATE INDEX CONCURRENTLY for transactions that are older than it. It blocks neither reads nor writes
    /// while it waits, and starting again costs the whole build: default 10 minutes.
    pub index_lock: Duration,
    /// The whole of CREATE INDEX CONCURRENTLY. Default 4 hours.
    pub index: Duration,
    /// One batch of a backfill: its rows are locked so long, and it is made larger or smaller to take that. Default 50 ms.
    pub batch: Duration,
    /// The pause after a batch, as a share of the time that it took. Default 0.5.
    pub rest: f64,
    /// What a batch may take at most, before it is given up and tried again with half of its rows. Default 5 s.
    pub longest_batch: Duration,
    /// How far replicas that follow may be behind before a backfill waits for them. Default 2 s.
    pub lag: Duration,
    /// How long it waits for them. Default 30 minutes.
    pub lag_patience: Duration,
    /// The question, at the end of a backfill, whether there are rows left: it reads the whole table. Default 1 hour.
    pub verify: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            turn: Duration::from_secs(60),
            lock: Duration::from_millis(100),
            longest_lock: Duration::from_millis(300),
            end_blockers: None,
            patience: Duration::from_secs(60),
            statement: Duration::from_secs(15 * 60),
            index_lock: Duration::from_secs(10 * 60),
            index: Duration::from_secs(4 * 60 * 60),
            batch: Duration::from_millis(50),
            rest: 0.5,
            longest_batch: Duration::from_secs(5),
            lag: Duration::from_secs(2),
            lag_patience: Duration::from_secs(30 * 60),
            verify: Duration::from_secs(60 * 60),
        }
    }
}
