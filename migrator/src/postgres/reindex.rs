//! Indexes built again concurrently, outside a transaction. What a killed one leaves beside them is invalid, and dropped.

use std::time::Instant;

use cutover_migration::Reindexed;

use super::Session;
use super::index::{builder, drop_invalid};
use super::run::Run;
use super::transaction::execute;
use crate::ledger::Pending;
use crate::{Error, Progress};

/// The invalid indexes of a table that bear the names of what is being built, or was replaced (manual, REINDEX).
const LEFT: &str = "SELECT format('%I.%I', n.nspname, c.relname), i.indrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' \
    AND i.indrelid = coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = to_regclass($1)), to_regclass($1))";

/// Builds `what` again, the only thing in `pending`.
pub(crate) async fn reindex(run: &mut Run<'_>, pending: &Pending<'_>, what: &Reindexed) -> Result<(), Error> {
    let (session, migration) = (run.session, pending.migration);
    session.reset(run.limits.index_lock, run.limits.index).await?;
    session.verify().await?;
    if pending.begun {
        drop_left(run, pending, what).await?;
    }
    run.record(pending, false).await?;
    run.observer.attend().await;
    let since = Instant::now();
    let done = run.observer.watch(execute(session.client(), migration), run.progress).await;
    let Err(error) = done else { return run.record(pending, true).await };
    match drop_left(run, pending, what).await {
        Ok(()) => run.ledger.forget(pending).await?,
        Err(error) => {
            tracing::warn!(%error, migration = migration.file(), "an unfinished index is left; the next run drops it");
        }
    }
    Err(match error {
        Error::Statement { source, .. } if source.is_contention() => run.locked(migration, 1, since),
        error => error,
    })
}

async fn drop_left(run: &Run<'_>, pending: &Pending<'_>, what: &Reindexed) -> Result<(), Error> {
    for (name, table) in left(run.session, what).await? {
        if builder(run.session, &table).await?.is_some() {
            // Somebody else is building it, or one beside it: what is left is in nobody's way.
            continue;
        }
        run.tell(Progress::Rebuilding { version: pending.migration.version(), index: name.clone() });
        drop_invalid(run.session, &name).await?;
    }
    Ok(())
}

async fn left(session: &Session, what: &Reindexed) -> Result<Vec<(String, String)>, Error> {
    let (Reindexed::Index(name) | Reindexed::Table(name)) = what;
    let rows = session.client().query(LEFT, &[name]).await;
    rows.and_then(|rows| rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect())
        .map_err(session.error("look for indexes that were left invalid"))
}
