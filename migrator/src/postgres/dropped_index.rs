//! An index removed concurrently, outside a transaction. A removal that is killed leaves the index invalid, for the next run
//! to remove.

use std::time::Instant;

use cutover_migration::DroppedIndex;

use super::Session;
use super::run::Run;
use super::transaction::execute;
use crate::Error;
use crate::ledger::Pending;

/// Removes `index`, the only thing in `pending`.
pub(crate) async fn drop_index(
    run: &mut Run<'_>,
    pending: &Pending<'_>,
    index: &DroppedIndex,
) -> Result<(), Error> {
    let (session, migration) = (run.session, pending.migration);
    session.reset(run.limits.index_lock, run.limits.index).await?;
    session.verify().await?;
    if pending.begun && is_valid(session, index).await?.is_none() {
        return run.record(pending, true).await;
    }
    run.record(pending, false).await?;
    run.observer.attend().await;
    let since = Instant::now();
    let done = run.observer.watch(execute(session.client(), migration), run.progress).await;
    let Err(error) = done else { return run.record(pending, true).await };
    // What is as it was before was not begun.
    if matches!(is_valid(session, index).await, Ok(None | Some(true))) {
        run.ledger.forget(pending).await?;
    }
    Err(match error {
        Error::Statement { source, .. } if source.is_contention() => run.locked(migration, 1, since),
        error => error,
    })
}

/// Whether the index is valid, if it is there.
async fn is_valid(session: &Session, index: &DroppedIndex) -> Result<Option<bool>, Error> {
    let look = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)";
    let row = session.client().query_opt(look, &[&index.name]).await;
    row.and_then(|row| row.map(|row| row.try_get(0)).transpose()).map_err(session.error("look for the index"))
}
