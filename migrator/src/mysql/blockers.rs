//! What a session waits for, and for whom.

use super::Session;
use super::holders::{Sight, holders};
use super::processes::Processes;
use crate::Backends;

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// It works, or has nothing to do.
    No,
    /// It changes a table beside others who use it.
    Building,
    /// It waits for a table, or something else of the schema.
    ForTable,
    /// It waits for a row.
    ForRow,
}

/// What the session `id` does.
pub(super) async fn waiting(session: &mut Session, id: u32) -> Result<Waiting, mysql_async::Error> {
    let state = format!("SELECT state FROM information_schema.processlist WHERE id = {id}");
    let state = session.query::<Option<String>>(&state).await?.into_iter().next().flatten();
    match state.as_deref() {
        Some(state) if state.starts_with("Waiting for ") => return Ok(Waiting::ForTable),
        Some(state) if state.starts_with("altering table") => return Ok(Waiting::Building),
        _ => {}
    }
    let row = format!(
        "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = {id} AND trx_state = 'LOCK WAIT'"
    );
    // Without the right to see transactions, only waits for tables are seen.
    let waits = session.query::<i64>(&row).await.unwrap_or_default().first().is_some_and(|found| *found > 0);
    Ok(if waits { Waiting::ForRow } else { Waiting::No })
}

/// Who is in the way of the session `id`, which waits for one of `tables`, or for a row.
pub(super) async fn blockers(
    session: &mut Session,
    sight: Sight,
    id: u32,
    waiting: Waiting,
    tables: &[String],
) -> Result<Backends, mysql_async::Error> {
    if waiting != Waiting::ForRow {
        let found = holders(session, sight, tables).await?.0.into_iter();
        return Ok(Backends(found.filter(|backend| backend.id != i64::from(id)).collect()));
    }
    let (waits, blocking, requesting) = if session.is_mariadb() {
        ("information_schema.innodb_lock_waits", "blocking_trx_id", "requesting_trx_id")
    } else {
        let names = ("blocking_engine_transaction_id", "requesting_engine_transaction_id");
        ("performance_schema.data_lock_waits", names.0, names.1)
    };
    let condition = format!(
        "t.trx_id IN (SELECT w.{blocking} FROM {waits} w JOIN information_schema.innodb_trx r ON r.trx_id = w.{requesting} \
         WHERE r.trx_mysql_thread_id = {id})"
    );
    Processes::of(session).find(session, &condition).await
}
