//! One batch: its rows and the place that it has come to, in one transaction.

use std::time::{Duration, Instant};

use cutover_migration::Backfill;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow, Statement};

use super::super::{Ledger, Session};
use super::key::Key;
use super::state::State;
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

/// What a backfill's batches have in common.
pub(super) struct Batches<'a> {
    pub(super) session: &'a Session,
    pub(super) ledger: Ledger<'a>,
    pub(super) work: &'a Work,
    pub(super) pending: &'a Pending<'a>,
    pub(super) backfill: &'a Backfill,
    pub(super) key: Key,
    pub(super) advance: Statement,
}

impl Batches<'_> {
    /// Brings over the rows after `state`. None: there are no more up to its upper bound. A transaction that failed is left
    /// open, for whoever sees the error.
    pub(super) async fn next(&self, state: &State) -> Result<Option<Done>, Error> {
        let (session, migration) = (self.session, self.pending.migration);
        let begun = Instant::now();
        let rest = self.key.range(state.reached.as_deref(), &state.upper);
        // Whatever level the role has by default: a row that was changed a moment ago is waited for, not refused.
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", self.key.end(&rest, state.batch));
        let found = session.client().simple_query(&begin).await;
        let found = found.map_err(session.error("look for the end of a batch"))?;
        let row = found.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let Some(end) = row.map(End::read) else {
            session.rollback().await;
            return Ok(None);
        };
        let advanced = self.ledger.advance(&self.advance, self.pending, self.work, state, &end).await;
        if !advanced.map_err(session.error("write how far a backfill has come"))? {
            session.rollback().await;
            return Err(self.ledger.overtaken(self.work).await);
        }
        let range = self.key.range(state.reached.as_deref(), &end.place);
        // In one message, so that the rows' locks don't wait for the network.
        let statement = format!("{}\n;COMMIT", self.backfill.statement(&range));
        session.client().batch_execute(&statement).await.map_err(|source| {
            let source = source.into();
            Error::Statement { location: Location::within(migration, &statement, &source), source }
        })?;
        Ok(Some(Done { end, took: begun.elapsed() }))
    }
}

impl End {
    /// Reads a row of [`Key::end`].
    fn read(row: &SimpleQueryRow) -> Self {
        let rows = row.get(0).and_then(|rows| rows.parse().ok()).unwrap_or_default();
        Self { place: place(row, 1), rows }
    }
}

/// The values of a row from a column on. None of a key is NULL.
pub(super) fn place(row: &SimpleQueryRow, from: usize) -> Vec<String> {
    (from..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect()
}
