//! How far a backfill has come, as its row in the ledger says.

use mysql_async::{Params, Row, Value};

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
    FROM cutover_ledger_backfills WHERE service = ? AND version = ? AND part = ? AND along = ?";

const BEGIN: &str = "INSERT INTO cutover_ledger_backfills \
    (service, version, part, along, round, upper, reached, batch, rows_expected, rows_walked, moved_at) \
    VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE \
    along = VALUES(along), round = VALUES(round), upper = VALUES(upper), reached = NULL, batch = VALUES(batch), \
    rows_expected = VALUES(rows_expected), rows_walked = VALUES(rows_walked), moved_at = VALUES(moved_at)";

/// Moves on from where the batch began, and only from there.
const MOVE: &str = "UPDATE cutover_ledger_backfills SET reached = ?, batch = ?, rows_walked = rows_walked + ?, \
    moved_at = UTC_TIMESTAMP(6) WHERE service = ? AND version = ? AND part = ? AND round = ? AND reached <=> ?";

const ESTIMATE: &str = "SELECT table_rows FROM information_schema.tables \
    WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ?";

impl Ledger<'_> {
    /// How far `pending` has come, if it has begun with this key.
    pub(super) async fn state(
        self,
        session: &mut Session,
        pending: &Pending<'_>,
        key: &str,
    ) -> Result<Option<State>, Error> {
        type Read = (i32, String, Option<String>, u32, Option<u64>, u64);
        let (version, _, part) = place(pending);
        let found = session.rows::<Read>(READ, (self.service, version, part, key)).await;
        let state = |(round, upper, reached, batch, expected, walked): Read| State {
            round,
            upper: split(&upper),
            reached: reached.as_deref().map(split),
            batch,
            expected,
            walked,
        };
        let found = found.map_err(session.error("read how far a backfill has come"))?;
        Ok(found.into_iter().next().map(state))
    }

    /// Writes that a round begins.
    pub(super) async fn begin(
        self,
        session: &mut Session,
        pending: &Pending<'_>,
        key: &str,
        state: &State,
    ) -> Result<(), Error> {
        let (version, _, part) = place(pending);
        let (upper, round, expected) = (join(&state.upper), state.round, state.expected);
        let row = (self.service, version, part, key, round, upper, state.batch, expected, state.walked);
        let begun = session.execute(BEGIN, row).await;
        begun.map(drop).map_err(session.error("write where a backfill begins"))
    }

    /// Moves on from `state` to `end`, within the batch's transaction. Whether that may be.
    pub(super) async fn advance(
        self,
        session: &mut Session,
        pending: &Pending<'_>,
        state: &State,
        end: &End,
    ) -> Result<bool, mysql_async::Error> {
        let (version, _, part) = place(pending);
        let reached = state.reached.as_deref().map(join);
        let values: Vec<Value> = vec![
            join(&end.place).into(),
            state.batch.into(),
            end.rows.into(),
            self.service.into(),
            version.into(),
            part.into(),
            state.round.into(),
            reached.into(),
        ];
        Ok(session.execute(MOVE, Params::Positional(values)).await? == 1)
    }

    /// Why a batch might not move on.
    pub(super) async fn overtaken(self, session: &mut Session, work: &Work) -> Error {
        match self.fence(session).await {
            Ok(fence) => match ledger::admit(fence.as_ref(), &work.epoch) {
                Err(refusal) => refusal.into(),
                Ok(()) => Refusal::Overtaken.into(),
            },
            Err(error) => error,
        }
    }
}

/// About how many rows a table has, as far as the server has counted.
pub(super) async fn estimate(
    session: &mut Session,
    table: &cutover_migration::Name,
) -> Result<Option<u64>, Error> {
    let values = (table.schema.clone(), table.name.clone());
    let rows = session.rows::<Option<u64>>(ESTIMATE, values).await;
    Ok(rows.map_err(session.error("see how large a table is"))?.into_iter().next().flatten())
}

/// The values of a place as one text. None has a comma in it.
fn join(values: &[String]) -> String {
    values.join(",")
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// The values of a row from a column on. None of a key is NULL.
pub(super) fn values(row: &mut Row, from: usize) -> Vec<String> {
    (from..row.len()).map(|at| row.take::<Option<String>, _>(at).flatten().unwrap_or_default()).collect()
}
