//! How long things may take.

use std::time::Duration;

use cutover_core::{BackfillTerms, LockTerms};

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
    /// The longest wait for a lock, when most of the patience is spent and no old transaction is in the way: three times
    /// the usual one. Default 300 ms.
    pub longest_lock: Duration,
    /// How long a transaction must have been open for it to be ended when it holds what is waited for. None, the default:
    /// none is ended.
    pub end_blockers: Option<Duration>,
    /// How long a transaction may hold a lock of a table that others wait for, in a rehearsal, which looks what is held. None, the
    /// default: nobody looks.
    pub hold: Option<Duration>,
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
    /// Rows per batch, at most: each has a lock until the batch ends. Default 100,000.
    pub batch_rows: u32,
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

impl Limits {
    /// Those that a release asks for, and the usual ones beside them.
    pub fn of(locks: &LockTerms, backfill: &BackfillTerms) -> Self {
        Self {
            connect: Duration::from_secs(10),
            turn: Duration::from_secs(60),
            lock: locks.wait.0,
            longest_lock: 3 * locks.wait.0,
            end_blockers: locks.end_blockers.map(|age| age.0),
            hold: None,
            patience: locks.patience.0,
            statement: locks.statement.0,
            index_lock: Duration::from_secs(10 * 60),
            index: Duration::from_secs(4 * 60 * 60),
            batch: backfill.batch_time.0,
            batch_rows: backfill.batch_size,
            rest: 1000.0 / f64::from(backfill.share.clamp(1, 1000)) - 1.0,
            longest_batch: Duration::from_secs(5),
            lag: backfill.max_lag.0,
            lag_patience: Duration::from_secs(30 * 60),
            verify: Duration::from_secs(60 * 60),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(&LockTerms::default(), &BackfillTerms::default())
    }
}

#[cfg(test)]
mod tests {
    use cutover_core::Span;

    use super::*;

    #[test]
    fn what_a_release_asks_for_is_what_is_kept() {
        let locks = LockTerms {
            wait: Span::millis(20),
            patience: Span::seconds(5),
            end_blockers: Some(Span::seconds(30)),
            statement: Span::seconds(60),
        };
        let backfill = BackfillTerms {
            batch_time: Span::millis(10),
            batch_size: 500,
            share: 250,
            max_lag: Span::seconds(7),
        };
        let limits = Limits::of(&locks, &backfill);
        assert_eq!(
            (limits.lock, limits.longest_lock),
            (Duration::from_millis(20), Duration::from_millis(60))
        );
        assert_eq!(limits.end_blockers, Some(Duration::from_secs(30)));
        assert_eq!((limits.patience, limits.statement), (Duration::from_secs(5), Duration::from_secs(60)));
        assert_eq!((limits.batch, limits.batch_rows), (Duration::from_millis(10), 500));
        assert_eq!((limits.rest, limits.lag), (3.0, Duration::from_secs(7)), "a quarter of the time is work");
        let all = Limits::of(&locks, &BackfillTerms { share: 1000, ..backfill });
        assert_eq!(all.rest, 0.0);
    }
}
