//! How far a backfill has come, as its row in the ledger says.

use tokio_postgres::Statement;

use super::super::fence::columns;
use super::super::ledger::place;
use super::super::{Ledger, Session};
use super::batch::End;
use crate::ledger::{Pending, Refusal};
use crate::{Error, Work, ledger};

/// How far a backfill has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Which walk through the table it is, from 1.
    pub(super) round: i32,
    /// The last place of the table when the round began. What comes after it is the new version's, or a trigger's.
    pub(super) upper: Vec<String>,
    /// The last place that was brought over.
    pub(super) reached: Option<Vec<String>>,
    /// Rows in the next batch.
    pub(super) batch: u32,
    /// About how many rows there were when it began.
    pub(super) expected: Option<u64>,
    /// Rows of all batches.
    pub(super) walked: u64,
}

const READ: &str = "SELECT round, upper, reached, batch, rows_expected, rows_walked \
    FROM cutover_ledger.backfills WHERE service = $1 AND version = $2 AND part = $3 AND key = $4";

const BEGIN: &str = "INSERT INTO cutover_ledger.backfills \
    (service, version, part, key, round, upper, reached, batch, rows_expected, rows_walked, moved_at) \
    VALUES ($1, $2, $3, $4, $5, $6, NULL, $7, $8, $9, now()) ON CONFLICT (service, version, part) DO UPDATE SET \
    key = excluded.key, round = excluded.round, upper = excluded.upper, reached = NULL, batch = excluded.batch, \
    rows_expected = excluded.rows_expected, rows_walked = excluded.rows_walked, moved_at = now()";

const TOUCH: &str = "UPDATE cutover_ledger.backfills SET moved_at = now() \
    WHERE service = $1 AND version = $2 AND part = $3";

/// Moves on from where the batch began, and only from there; and only as long as the claim is the last one. The fence's row is
/// locked: whoever would raise it waits for the end of the batch.
const MOVE: &str = "UPDATE cutover_ledger.backfills b SET reached = $4, batch = $5, rows_walked = rows_walked + $6, \
    moved_at = now() WHERE service = $1 AND version = $2 AND part = $3 AND round = $7 AND reached IS NOT DISTINCT FROM $8 \
    AND EXISTS (SELECT FROM cutover_ledger.fence f WHERE f.service = b.service \
    AND f.epoch_journal = $9 AND f.epoch_sequence = $10 FOR SHARE)";

impl Ledger<'_> {
    /// How far `pending` has come, if it has begun with this key.
    pub(super) async fn state(&self, pending: &Pending<'_>, key: &str) -> Result<Option<State>, Error> {
        let (version, _, part) = place(pending);
        let row = self.session.client().query_opt(READ, &[&self.service, &version, &part, &key]).await;
        let read = |row: tokio_postgres::Row| {
            let count =
                |column| row.try_get::<_, Option<i64>>(column).map(|rows| rows.map(i64::unsigned_abs));
            Ok(State {
                round: row.try_get("round")?,
                upper: row.try_get("upper")?,
                reached: row.try_get("reached")?,
                batch: row.try_get::<_, i32>("batch")?.unsigned_abs(),
                expected: count("rows_expected")?,
                walked: count("rows_walked")?.unwrap_or_default(),
            })
        };
        row.and_then(|row| row.map(read).transpose())
            .map_err(self.session.error("read how far a backfill has come"))
    }

    /// Writes that a round begins.
    pub(super) async fn begin(&self, pending: &Pending<'_>, key: &str, state: &State) -> Result<(), Error> {
        let (version, _, part) = place(pending);
        let begun = self
            .session
            .client()
            .execute(
                BEGIN,
                &[
                    &self.service,
                    &version,
                    &part,
                    &key,
                    &state.round,
                    &state.upper,
                    &rows(state.batch.into()),
                    &state.expected.map(big),
                    &big(state.walked),
                ],
            )
            .await;
        begun.map(drop).map_err(self.session.error("write where a backfill begins"))
    }

    /// Writes that a backfill stands where it is. Replicas say where they are when they are sent something.
    pub(super) async fn touch(&self, pending: &Pending<'_>) -> Result<(), Error> {
        let (version, _, part) = place(pending);
        let touched = self.session.client().execute(TOUCH, &[&self.service, &version, &part]).await;
        touched.map(drop).map_err(self.session.error("write that a backfill waits"))
    }

    /// What moves a backfill on, made ready once.
    pub(super) async fn prepare_move(&self) -> Result<Statement, Error> {
        let prepared = self.session.client().prepare(MOVE).await;
        prepared.map_err(self.session.error("make ready to write how far a backfill has come"))
    }

    /// Moves on from `state` to `end`, over `walked` rows, within the batch's transaction. Whether that may be.
    pub(super) async fn advance(
        &self,
        statement: &Statement,
        pending: &Pending<'_>,
        work: &Work,
        state: &State,
        end: &End,
    ) -> Result<bool, tokio_postgres::Error> {
        let (version, _, part) = place(pending);
        let (journal, sequence) = columns(&work.epoch);
        let moved = self
            .session
            .client()
            .execute(
                statement,
                &[
                    &self.service,
                    &version,
                    &part,
                    &end.place,
                    &rows(state.batch.into()),
                    &i64::from(end.rows),
                    &state.round,
                    &state.reached,
                    &journal,
                    &sequence,
                ],
            )
            .await;
        moved.map(|moved| moved == 1)
    }

    /// Why a batch might not move on.
    pub(super) async fn overtaken(&self, work: &Work) -> Error {
        match self.fence().await {
            Ok(fence) => match ledger::admit(fence.as_ref(), &work.epoch) {
                Err(refusal) => refusal.into(),
                Ok(()) => Refusal::Overtaken.into(),
            },
            Err(error) => error,
        }
    }
}

/// About how many rows a table has, as far as the server has ever counted.
pub(super) async fn estimate(session: &Session, table: &str) -> Result<Option<u64>, Error> {
    let estimate = "SELECT sum(reltuples)::float8 FROM pg_class \
                    WHERE reltuples > 0 AND (oid = to_regclass($1) OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass($1)) WHERE isleaf))";
    let row = session.client().query_one(estimate, &[&table]).await;
    row.and_then(|row| row.try_get::<_, Option<f64>>(0))
        .map(|rows| rows.map(|rows| rows as u64))
        .map_err(session.error("see how large a table is"))
}

/// A number of rows in a batch, as its column has it.
fn rows(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A number of rows, as its column has it.
fn big(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
