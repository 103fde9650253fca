//! Rows brought over in batches along a key, beside the traffic: each batch and the place that it has come to in one
//! transaction, so that whoever comes next goes on from there, whatever has killed the one before.

mod batch;
mod key;
mod replicas;
mod state;

use std::time::{Duration, Instant};

use cutover_migration::{Backfill, Migration};
use tokio_postgres::SimpleQueryMessage;

use self::batch::{Batches, Done, place};
use self::key::Key;
use self::replicas::Replicas;
use self::state::{State, estimate};
use super::Session;
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

/// What a batch needs of the session: places are written in one form, whatever form the role prefers, and found by an index
/// even where the server can't tell how little of the table a range over several columns is.
const SETTINGS: &str = "SET enable_seqscan = off; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; \
     SET extra_float_digits = 1";

/// Brings over the rows of `backfill`, and sees that none is left.
pub(crate) async fn fill(run: &mut Run<'_>, pending: &Pending<'_>, backfill: &Backfill) -> Result<(), Error> {
    let (session, migration) = (run.session, pending.migration);
    if !pending.again {
        run.record(pending, false).await?;
    }
    let key = Key::find(session, migration, backfill).await?;
    let name = key.describe();
    let advance = run.ledger.prepare_move().await?;
    let (ledger, work) = (run.ledger, run.work);
    let batches = Batches { session, ledger, work, pending, backfill, key, advance };
    let known = if pending.again { None } else { run.ledger.state(pending, &name).await? };
    let mut state = match known {
        Some(state) => Some(state),
        None => start(run, &batches, 1, backfill.batch).await?,
    };
    if pending.again {
        // Not before the walk has begun: the place that the one before has come to is the end of the table.
        run.record(pending, false).await?;
    }
    loop {
        if let Some(state) = &mut state {
            walk(run, &batches, state).await?;
        }
        let Some(left) = left(session, migration, &batches.key, backfill, run.limits.verify).await? else {
            session.reset(run.limits.lock, run.limits.statement).await?;
            return run.record(pending, true).await;
        };
        let (rounds, batch) = state.as_ref().map_or((1, backfill.batch), |state| (state.round, state.batch));
        if rounds >= ROUNDS {
            return Err(Error::Unverified { file: migration.file().to_owned(), rounds, left });
        }
        run.tell(Progress::Again { version: migration.version(), left });
        state = start(run, &batches, rounds + 1, batch).await?;
    }
}

/// Whether no row of `backfill` is left.
pub(crate) async fn is_filled(
    run: &Run<'_>,
    pending: &Pending<'_>,
    backfill: &Backfill,
) -> Result<bool, Error> {
    let (session, limits) = (run.session, run.limits);
    let key = Key::find(session, pending.migration, backfill).await?;
    let left = left(session, pending.migration, &key, backfill, limits.verify).await?;
    session.reset(limits.lock, limits.statement).await?;
    Ok(left.is_none())
}

/// Begins a walk through the table as it is now, and writes that down. None where it is empty.
async fn start(run: &Run<'_>, batches: &Batches<'_>, round: i32, batch: u32) -> Result<Option<State>, Error> {
    let session = run.session;
    prepare(session, run.limits.lock.max(run.limits.longest_lock), run.limits.longest_batch).await?;
    let found = session.client().simple_query(&batches.key.last()).await;
    let found = found.map_err(session.error("look for the end of a table"))?;
    let upper = found.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(place(row, 0)),
        _ => None,
    });
    let Some(upper) = upper else { return Ok(None) };
    let expected = estimate(session, &batches.backfill.table).await?;
    let state = State { round, upper, reached: None, batch, expected, walked: 0 };
    run.ledger.begin(batches.pending, &batches.key.describe(), &state).await?;
    Ok(Some(state))
}

/// Walks from where `state` is to its upper bound.
async fn walk(run: &mut Run<'_>, batches: &Batches<'_>, state: &mut State) -> Result<(), Error> {
    let (session, limits, migration) = (run.session, run.limits, batches.pending.migration);
    let (begun, meter) = (Instant::now(), Meter::new(state.walked, state.expected));
    let mut pace = Pace::new(state.batch, limits.batch, limits.batch_rows);
    state.batch = pace.rows();
    let mut replicas = Replicas::new(session, limits);
    let (mut told, mut moved, mut tries) = (begun, begun, 0);
    let report = |run: &Run<'_>, state: &State| {
        let (rate, left) = meter.read(state.walked, begun.elapsed());
        let (version, rows, expected) = (migration.version(), state.walked, state.expected);
        run.tell(Progress::Filled { version, rows, expected, rate, left });
    };
    prepare(session, limits.lock, limits.longest_batch).await?;
    replicas.wait(run, batches.pending).await?;
    loop {
        if told.elapsed() >= REPORTS {
            told = Instant::now();
            report(run, state);
            session.verify().await?;
            if replicas.wait(run, batches.pending).await? {
                moved = Instant::now();
            }
        }
        let ended = if tries == 0 {
            batches.next(state).await
        } else {
            // Who is in the way is looked for only once somebody is.
            run.observer.attend().await;
            run.observer.watch(batches.next(state), run.progress).await
        };
        match ended {
            Ok(None) => break,
            Ok(Some(Done { end, took })) => {
                pace.took(end.rows, took);
                state.walked += u64::from(end.rows);
                (state.reached, state.batch) = (Some(end.place), pace.rows());
                tokio::time::sleep(took.mul_f64(limits.rest)).await;
                (moved, tries) = (Instant::now(), 0);
            }
            Err(Error::Statement { source, .. } | Error::Ledger { source, .. })
                if source.is_contention() || source.is_cancelled() =>
            {
                session.rollback().await;
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
                session.rollback().await;
                return Err(error);
            }
        }
    }
    report(run, state);
    Ok(())
}

async fn prepare(session: &Session, lock: Duration, statement: Duration) -> Result<(), Error> {
    session.reset(lock, statement).await?;
    session.client().batch_execute(SETTINGS).await.map_err(session.error("set what a backfill needs"))
}

/// How many rows are left, if any. It reads, and holds nobody up.
async fn left(
    session: &Session,
    migration: &Migration,
    key: &Key,
    backfill: &Backfill,
    limit: Duration,
) -> Result<Option<String>, Error> {
    session.reset(limit, limit).await?;
    let (source, verify) = (key.source(), &backfill.verify);
    let count = format!(
        "SELECT count(*) FROM (SELECT FROM {source} WHERE ({verify}\n) LIMIT {}) AS rows_left",
        LEFT + 1
    );
    let row = session.client().query_one(&count, &[]).await;
    let left: i64 =
        row.and_then(|row| row.try_get(0)).map_err(|source| Error::statement(migration, 0, source))?;
    Ok(match left {
        0 => None,
        left if left > LEFT => Some(format!("more than {LEFT}")),
        left => Some(left.to_string()),
    })
}
