//! An index built concurrently, outside a transaction: an intent in the ledger first, the catalog looked at last, and
//! what a killed build has left dropped and built again.

use std::time::{Duration, Instant};

use cutover_migration::ConcurrentIndex;

use super::Session;
use super::activity::COLUMNS;
use super::run::Run;
use super::transaction::execute;
use crate::ledger::Pending;
use crate::{Backend, Error, Progress};

/// An index in the catalog.
enum State {
    /// There is none of this name on the table.
    Absent,
    /// It was begun and not ended. Writes keep it up to date, reads don't use it.
    Invalid {
        /// Its name with its schema, quoted where needed.
        name: String,
    },
    /// It is in use.
    Valid,
}

/// The sessions of clients that may be building or dropping an index of a table right now: those that hold the lock for it, which
/// lasts from the first to the last of their transactions. Of what they do, only their own role may see more.
const BUILDERS: &str = "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = to_regclass($1) AND l.granted \
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    AND l.mode = 'ShareUpdateExclusiveLock' AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()";

/// From one look for builders to the next.
const LOOKS: Duration = Duration::from_millis(200);

/// Builds `index`, the only thing in `pending`. As we have the turn, no session of an earlier run is still building.
pub(crate) async fn build_index(
    run: &mut Run<'_>,
    pending: &Pending<'_>,
    index: &ConcurrentIndex,
) -> Result<(), Error> {
    let (session, migration, begun) = (run.session, pending.migration, pending.begun);
    session.reset(run.limits.index_lock, run.limits.index).await?;
    session.verify().await?;
    match settled(run, pending, index).await? {
        State::Valid if begun => return run.record(pending, true).await,
        State::Invalid { name } if begun => {
            run.tell(Progress::Rebuilding { version: migration.version(), index: name.clone() });
            drop_invalid(session, &name).await?;
        }
        State::Invalid { name } => {
            return Err(Error::InvalidIndex { file: migration.file().to_owned(), index: name });
        }
        State::Valid | State::Absent => {}
    }
    run.record(pending, false).await?;
    run.observer.attend().await;
    let since = Instant::now();
    if let Err(error) = run.observer.watch(execute(session.client(), migration), run.progress).await {
        if let Err(error) = take_back(run, pending, index).await {
            tracing::warn!(%error, migration = migration.file(), "an unfinished index is left; the next run drops it");
        }
        return Err(match error {
            Error::Statement { source, .. } if source.is_contention() => run.locked(migration, 1, since),
            error => error,
        });
    }
    match look(session, index).await? {
        State::Valid => run.record(pending, true).await,
        State::Invalid { .. } | State::Absent => {
            run.ledger.forget(pending).await?;
            Err(Error::NoIndex { file: migration.file().to_owned(), index: index.name.clone() })
        }
    }
}

/// After a build that failed: no half an index, and no intent. One that somebody else is building under the same name, which is
/// why ours has failed, is left alone.
async fn take_back(run: &Run<'_>, pending: &Pending<'_>, index: &ConcurrentIndex) -> Result<(), Error> {
    let builder = builder(run.session, &index.table).await?;
    if let (State::Invalid { name }, None) = (look(run.session, index).await?, builder) {
        drop_invalid(run.session, &name).await?;
    }
    run.ledger.forget(pending).await
}

/// What there is of the index, once nobody can be building it: an invalid one may be on its way to be valid.
///
/// # Errors
/// When somebody is at work on the table's indexes for longer than patience lasts.
async fn settled(run: &Run<'_>, pending: &Pending<'_>, index: &ConcurrentIndex) -> Result<State, Error> {
    let (begun, session) = (Instant::now(), run.session);
    let mut told = false;
    loop {
        // In this order: who has ended after the first look has made it valid before the second.
        let builder = builder(session, &index.table).await?;
        match (look(session, index).await?, builder) {
            (State::Invalid { name }, Some(builder)) if begun.elapsed() >= run.limits.patience => {
                let (file, builder) = (pending.migration.file().to_owned(), Box::new(builder));
                return Err(Error::Building { file, index: name, builder });
            }
            (State::Invalid { name }, Some(builder)) => {
                if !told {
                    told = true;
                    run.tell(Progress::Building {
                        version: pending.migration.version(),
                        index: name,
                        builder,
                    });
                }
                tokio::time::sleep(LOOKS).await;
            }
            (state, _) => return Ok(state),
        }
    }
}

/// Somebody who may be building or dropping an index of `table`.
pub(super) async fn builder(session: &Session, table: &str) -> Result<Option<Backend>, Error> {
    let builder = format!("SELECT {COLUMNS} {BUILDERS} ORDER BY a.xact_start LIMIT 1");
    let row = session.client().query_opt(&builder, &[&table]).await;
    row.and_then(|row| row.as_ref().map(Backend::read).transpose())
        .map_err(session.error("see who is building an index"))
}

async fn look(session: &Session, index: &ConcurrentIndex) -> Result<State, Error> {
    // An index is in the schema of its table; the server finds that by the session's search path, as it will for the
    // statement itself.
    let look = "SELECT format('%I.%I', n.nspname, c.relname), i.indisvalid AND i.indisready \
                FROM pg_class t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid \
                JOIN pg_namespace n ON n.oid = c.relnamespace \
                WHERE t.oid = to_regclass($1) AND c.relname = $2::text::name";
    let row = session.client().query_opt(look, &[&index.table, &index.name]).await;
    row.and_then(|row| match row {
        None => Ok(State::Absent),
        Some(row) if row.try_get(1)? => Ok(State::Valid),
        Some(row) => Ok(State::Invalid { name: row.try_get(0)? }),
    })
    .map_err(session.error("look for the index"))
}

pub(super) async fn drop_invalid(session: &Session, name: &str) -> Result<(), Error> {
    let dropped = session.client().batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}")).await;
    dropped.map_err(session.error("drop an index that was left invalid"))
}
