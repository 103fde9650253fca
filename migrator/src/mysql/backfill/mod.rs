//! Rows brought over in batches along a key, beside the traffic: each batch and the place that it has come to in one
//! transaction, so that whoever comes next goes on from there, whatever has killed the one before.
//!
//! How far replicas are behind is nothing that these servers tell the one that they follow: batches are paced by time alone.

mod batch;
mod column;
mod key;
mod redo;
mod state;

use std::time::{Duration, Instant};

use cutover_migration::{Backfill, Name};

use self::batch::{Batches, Done, Moved};
use self::key::Key;
use self::redo::Redo;
use self::state::{State, estimate, values};
use super::observer::{SHORTEST, Watch, explain};
use super::run::Run;
use crate::ledger::Pending;
use crate::pace::{Meter, Pace};
use crate::{Error, Progress};

/// How often a table is walked through, at most. After the first time there are rows left only where something has written
/// such rows meanwhile.
const ROUNDS: i32 = 3;

/// From one report to the next.
const REPORTS: Duration = Duration::from_secs(1);

/// What is asked for to know whether rows are left.
const LEFT: i64 = 1_000;

/// Brings over the rows of `backfill`, and sees that none is left.
pub(super) async fn fill(run: &mut Run<'_>, pending: &Pending<'_>, backfill: &Backfill) -> Result<(), Error> {
    let migration = pending.migration;
    if run.session.server().logs_statements {
        return Err(Error::Unfit {
            server: run.session.name().to_owned(),
            why: "it logs rows as statements (binlog_format=STATEMENT), with which a batch would lock the gaps between rows, where others insert; set it to MIXED or ROW",
        });
    }
    if !pending.again {
        run.record(pending, false, None).await?;
    }
    let key = Key::find(&mut run.session, migration, backfill).await?;
    let name = key.describe();
    let batches = Batches { pending, backfill, key: &key };
    let ledger = run.ledger;
    let known = if pending.again { None } else { ledger.state(&mut run.session, pending, &name).await? };
    let mut state = match known {
        Some(state) => Some(state),
        None => start(run, batches, 1, backfill.batch).await?,
    };
    if pending.again {
        // Not before the walk has begun: the place that the one before has come to is the end of the table.
        run.record(pending, false, None).await?;
    }
    loop {
        if let Some(state) = &mut state {
            walk(run, batches, state).await?;
        }
        let Some(left) = left(run, pending, &key, backfill).await? else {
            run.reset().await?;
            return run.record(pending, true, None).await;
        };
        let (rounds, batch) = state.as_ref().map_or((1, backfill.batch), |state| (state.round, state.batch));
        if rounds >= ROUNDS {
            return Err(Error::Unverified { file: migration.file().to_owned(), rounds, left });
        }
        run.tell(Progress::Again { version: migration.version(), left });
        state = start(run, batches, rounds + 1, batch).await?;
    }
}

/// Whether no row of `backfill` is left.
pub(super) async fn is_filled(
    run: &mut Run<'_>,
    pending: &Pending<'_>,
    backfill: &Backfill,
) -> Result<bool, Error> {
    let key = Key::find(&mut run.session, pending.migration, backfill).await?;
    Ok(left(run, pending, &key, backfill).await?.is_none())
}

/// Begins a walk through the table as it is now, and writes that down. None where it is empty.
async fn start(
    run: &mut Run<'_>,
    batches: Batches<'_>,
    round: i32,
    batch: u32,
) -> Result<Option<State>, Error> {
    prepare(run, batches.key).await?;
    let session = &mut run.session;
    let last = session.last_row(&batches.key.last()).await;
    let Some(mut last) = last.map_err(session.error("look for the end of a table"))? else { return Ok(None) };
    let upper = values(&mut last, 0);
    let expected = match Name::read(&batches.backfill.table) {
        Some(table) => estimate(session, &table).await?,
        None => None,
    };
    let state = State { round, upper, reached: None, batch, expected, walked: 0 };
    run.ledger.begin(session, batches.pending, &batches.key.describe(), &state).await?;
    Ok(Some(state))
}

/// Walks from where `state` is to its upper bound.
async fn walk(run: &mut Run<'_>, batches: Batches<'_>, state: &mut State) -> Result<(), Error> {
    let (limits, migration) = (run.limits, batches.pending.migration);
    let (begun, meter) = (Instant::now(), Meter::new(state.walked, state.expected));
    let mut pace = Pace::new(state.batch, limits.batch, limits.batch_rows);
    state.batch = pace.rows();
    let mut redo = Redo::default();
    let (mut told, mut moved, mut tries) = (begun, begun, 0);
    let report = |run: &Run<'_>, state: &State| {
        let (rate, left) = meter.read(state.walked, begun.elapsed());
        let (version, rows, expected) = (migration.version(), state.walked, state.expected);
        run.tell(Progress::Filled { version, rows, expected, rate, left });
    };
    prepare(run, batches.key).await?;
    loop {
        if told.elapsed() >= REPORTS {
            told = Instant::now();
            report(run, state);
            run.session.verify().await?;
        }
        if redo.wait(run, migration).await? {
            moved = Instant::now();
        }
        let (ended, cut) = next(run, batches, state, tries > 0).await?;
        match ended {
            Ok(Moved::Through) => break,
            Ok(Moved::Overtaken) => return Err(run.ledger.overtaken(&mut run.session, run.work).await),
            Ok(Moved::Over(Done { end, took })) => {
                pace.took(end.rows, took);
                state.walked += u64::from(end.rows);
                (state.reached, state.batch) = (Some(end.place), pace.rows());
                let rested = run.session.idle(took.mul_f64(limits.rest)).await;
                rested.map_err(run.session.error("pause between two batches"))?;
                (moved, tries) = (Instant::now(), 0);
            }
            Err(Error::Statement { source, .. } | Error::Ledger { source, .. })
                if source.is_contention() || source.is_cancelled() =>
            {
                run.session.settle().await;
                run.session.rollback().await;
                tracing::debug!(why = %explain(cut, source), "a batch is given up");
                pace.failed();
                (state.batch, tries) = (pace.rows(), tries + 1);
                if moved.elapsed() >= limits.patience {
                    return Err(run.locked(migration, tries, moved));
                }
                let (version, batch, blockers) = (migration.version(), state.batch, run.observer.seen());
                run.tell(Progress::GaveWay { version, batch, blockers });
                tokio::time::sleep(limits.lock.mul_f64(1.0 + 3.0 * fastrand::f64())).await;
            }
            Err(error) => {
                run.session.rollback().await;
                return Err(error);
            }
        }
    }
    report(run, state);
    Ok(())
}

/// One try. The first one waits for nobody, where the server knows how: whoever waits for a row while it has others may be part of
/// a deadlock, and of those the server ends the smaller transaction, which is the application's. Once somebody was in the way he
/// is waited for, as long as for any lock, and looked for.
async fn next(
    run: &mut Run<'_>,
    batches: Batches<'_>,
    state: &State,
    again: bool,
) -> Result<(Result<Moved, Error>, Option<crate::Fault>), Error> {
    let limits = run.limits;
    let whole = if run.session.is_mariadb() && !again { 0 } else { 1 };
    let (first, lock) =
        if whole > 0 { (SHORTEST, limits.lock) } else { (limits.longest_batch, limits.longest_batch) };
    let watch = Watch { tables: &[], lock, statement: limits.longest_batch, builds: false, first };
    let Run { session, observer, ledger, work, progress, .. } = run;
    observer.watch(batches.next(session, *ledger, work, state, whole), watch, progress).await
}

/// Makes the session ready to find places along `key`: they are written down in one zone, whatever the session's is.
async fn prepare(run: &mut Run<'_>, key: &Key) -> Result<(), Error> {
    run.reset().await?;
    if key.has_zone() {
        let set = run.session.run("SET SESSION time_zone = '+00:00'").await;
        set.map_err(run.session.error("set what a backfill needs"))?;
    }
    Ok(())
}

/// How many rows are left, if any. It reads, and holds nobody up.
async fn left(
    run: &mut Run<'_>,
    pending: &Pending<'_>,
    key: &Key,
    backfill: &Backfill,
) -> Result<Option<String>, Error> {
    let (source, verify, limit) = (key.source(), &backfill.verify, run.limits.verify);
    run.reset().await?;
    let most = LEFT + 1;
    let count =
        format!("SELECT COUNT(*) FROM (SELECT 1 FROM {source} WHERE ({verify}\n) LIMIT {most}) AS rows_left");
    let watch = Watch { tables: &[], lock: limit, statement: limit, builds: false, first: limit };
    let Run { session, observer, progress, .. } = run;
    let (counted, cut) = observer.watch(session.query::<i64>(&count), watch, progress).await?;
    let counted =
        counted.map_err(|error| Error::statement(pending.migration, 0, explain(cut, error.into())))?;
    Ok(match counted.first().copied().unwrap_or_default() {
        0 => None,
        left if left > LEFT => Some(format!("more than {LEFT}")),
        left => Some(left.to_string()),
    })
}
