//! One batch: its rows and the place that it has come to, in one transaction.

use std::time::{Duration, Instant};

use cutover_migration::Backfill;
use mysql_async::Row;

use super::super::fence::{HELD, columns};
use super::super::{Ledger, Session};
use super::key::Key;
use super::state::{State, values};
use crate::ledger::Pending;
use crate::{Error, Location, Work};

/// The end of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Its last place.
    pub(super) place: Vec<String>,
    /// How many rows it has.
    pub(super) rows: u32,
}

/// A batch that was brought over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) end: End,
    pub(super) took: Duration,
}

/// What a try to bring over a batch has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The batch is there.
    Over(Done),
    /// There are no more rows up to the upper bound.
    Through,
    /// The claim isn't the last one any more, or another session was faster.
    Overtaken,
}

/// What a backfill's batches have in common.
#[derive(Clone, Copy)]
pub(super) struct Batches<'a> {
    pub(super) pending: &'a Pending<'a>,
    pub(super) backfill: &'a Backfill,
    pub(super) key: &'a Key,
}

impl Batches<'_> {
    /// Brings over the rows after `state`, and waits for one of them no longer than `wait` seconds. A transaction that failed is left open, for whoever sees the error.
    pub(super) async fn next(
        self,
        session: &mut Session,
        ledger: Ledger<'_>,
        work: &Work,
        state: &State,
        wait: u8,
    ) -> Result<Moved, Error> {
        let rest = self.key.range(state.reached.as_deref(), &state.upper);
        let end = self.key.end(&rest, state.batch);
        let begin = format!("SET SESSION innodb_lock_wait_timeout = {wait}; START TRANSACTION; {end}");
        let found = session.last_row(&begin).await;
        let Some(end) = found.map_err(session.error("look for the end of a batch"))?.map(End::read) else {
            session.rollback().await;
            return Ok(Moved::Through);
        };
        let held = session.rows::<(String, i64)>(HELD, (ledger.service,)).await;
        let held = held.map_err(session.error("hold the fence"))?;
        let (journal, sequence) = columns(&work.epoch);
        let is_ours = held.first().is_some_and(|(holder, highest)| holder == journal && *highest == sequence);
        let advanced =
            if is_ours { ledger.advance(session, self.pending, state, &end).await } else { Ok(false) };
        if !advanced.map_err(session.error("write how far a backfill has come"))? {
            session.rollback().await;
            return Ok(Moved::Overtaken);
        }
        let range = self.key.range(state.reached.as_deref(), &end.place);
        // In one message, so that the rows' locks don't wait for the network.
        let statement = format!("{}\n;COMMIT", self.backfill.statement(&range));
        // Only that counts: to find the batch locks no row, and takes as long for one row as for a thousand where the server is far.
        let begun = Instant::now();
        session.run(&statement).await.map_err(|source| {
            let source = source.into();
            Error::Statement {
                location: Location::within(self.pending.migration, &statement, &source),
                source,
            }
        })?;
        Ok(Moved::Over(Done { end, took: begun.elapsed() }))
    }
}

impl End {
    /// Reads a row of [`Key::end`].
    fn read(mut row: Row) -> Self {
        let rows = row.take::<u32, _>(0).unwrap_or_default();
        Self { place: values(&mut row, 1), rows }
    }
}
