//! The locks of tables that a transaction holds and others wait for.

use std::time::{Duration, Instant};

use cutover_core::{HeldLock, Span};

use super::Session;
use crate::Error;

/// Tables and what is read like them. What a transaction has made itself is in nobody's way.
const THERE: &str =
    "SELECT coalesce(array_agg(oid), '{}') FROM pg_class WHERE relkind IN ('r', 'p', 'm', 'v')";

/// Those that reads or writes of the application wait for (PostgreSQL's manual, 13.3.1), the strongest of each table.
const HELD: &str = "SELECT c.oid::regclass::text, (array_agg(l.mode ORDER BY array_position($2, l.mode)))[1] \
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE l.locktype = 'relation' AND l.pid = pg_backend_pid() AND l.granted AND l.mode = ANY($2) \
    AND c.oid = ANY($1) AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'cutover_ledger') \
    GROUP BY c.oid ORDER BY 1";
const MODES: [&str; 4] = ["AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock", "ShareLock"];

/// What there was before a transaction began.
#[derive(Debug)]
pub(super) struct Before {
    there: Vec<u32>,
}

impl Before {
    /// To be taken right before it begins.
    pub(super) async fn of(session: &Session) -> Result<Self, Error> {
        let there = session.client().query_one(THERE, &[]).await;
        let there = there
            .and_then(|row| row.try_get(0))
            .map_err(session.error("look for the tables that there are"))?;
        Ok(Self { there })
    }

    /// The locks that the transaction holds at its end, each for as long as what the migration says has run: `since`.
    pub(super) async fn locks(&self, session: &Session, since: Instant) -> Result<Vec<HeldLock>, Error> {
        let held = Span(rounded(since.elapsed()));
        let rows = session.client().query(HELD, &[&self.there, &MODES.as_slice()]).await;
        let lock =
            |row: &tokio_postgres::Row| Ok(HeldLock { table: row.try_get(0)?, mode: row.try_get(1)?, held });
        let locks = rows.and_then(|rows| rows.iter().map(lock).collect());
        locks.map_err(session.error("look for the locks that are held"))
    }
}

/// To milliseconds, as people read it.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
