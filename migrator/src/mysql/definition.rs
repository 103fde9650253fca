//! A statement after which the server commits by itself: an intent in the ledger first, with what the catalog says before, then
//! the statement, as hard as the ladder says at each try; and after a kill the catalog says what became of it.

use std::time::{Duration, Instant};

use cutover_migration::{Definition, Mark, Outcome};

use super::catalog::Catalog;
use super::observer::{SHORTEST, Watch, explain};
use super::run::Run;
use super::{fault, holders};
use crate::ladder::Ladder;
use crate::ledger::Pending;
use crate::{Error, Fault};

/// A wait below which MariaDB is told not to wait at all, so that nobody has to queue behind.
const TOUCH: Duration = Duration::from_millis(5);

/// Applies `pending`. As we have the turn, and the mark of our service, no session of an earlier run is still at it.
pub(super) async fn define(run: &mut Run<'_>, pending: &Pending<'_>) -> Result<(), Error> {
    let migration = pending.migration;
    let definition = Definition::read(migration.sql());
    if pending.begun && became(run, pending, definition.as_ref()).await? == Outcome::Done {
        return run.record(pending, true, None).await;
    }
    let before = match &definition {
        Some(definition) => Some(look(run, definition).await?.fingerprint),
        None => None,
    };
    run.record(pending, false, before.as_deref()).await?;
    match climb(run, pending, &definition.unwrap_or_default()).await {
        Ok(()) => run.record(pending, true, None).await,
        // Nothing is known of a statement whose answer never came.
        Err(Error::Statement { source: Fault::Mysql(source), location }) if fault::is_fatal(&source) => {
            Err(Error::Statement { source: source.into(), location })
        }
        Err(error) => {
            if let Err(error) = run.ledger.forget(&mut run.session, pending).await {
                tracing::warn!(%error, migration = migration.file(), "an intent is left; the next run asks the catalog");
            }
            Err(error)
        }
    }
}

/// What has become of `pending`, which an earlier run has begun.
async fn became(
    run: &mut Run<'_>,
    pending: &Pending<'_>,
    definition: Option<&Definition>,
) -> Result<Outcome, Error> {
    // The migration's row may be there without that of the part, where somebody has taken it back.
    let Some(before) = run.ledger.before(&mut run.session, pending).await? else {
        return Ok(Outcome::Undone);
    };
    let why = match (definition, before) {
        (Some(definition), Some(before)) => {
            let now = look(run, definition).await?;
            match definition.outcome(now.fingerprint != before, &now.holds) {
                Outcome::Unknown if definition.marks.is_empty() => {
                    "its table has changed since, and what it does has no name to be known by".to_owned()
                }
                Outcome::Unknown => torn(&definition.marks, &now.holds),
                outcome => return Ok(outcome),
            }
        }
        _ => "nothing of it can be seen in the catalog".to_owned(),
    };
    let (done, undone) = run.ledger.verdicts(pending);
    Err(Error::Unclear { file: pending.migration.file().to_owned(), why, done, undone })
}

/// Which marks of a statement speak for it, and which against it.
fn torn(marks: &[Mark], holds: &[bool]) -> String {
    let of = |wanted: bool| {
        let found = marks.iter().zip(holds).filter(|(_, holds)| **holds == wanted);
        let found = found.map(|(mark, holds)| {
            let there = if mark.there == *holds { "is there" } else { "isn't there" };
            format!("{} {there}", mark.thing)
        });
        found.collect::<Vec<_>>().join(", ")
    };
    format!("of what it does one part is done ({}) and another isn't ({})", of(true), of(false))
}

async fn look(run: &mut Run<'_>, definition: &Definition) -> Result<Catalog, Error> {
    let looked = Catalog::look(&mut run.session, definition).await;
    looked.map_err(run.session.error("look at the catalog"))
}

/// Tries until the locks are given.
async fn climb(run: &mut Run<'_>, pending: &Pending<'_>, definition: &Definition) -> Result<(), Error> {
    let (migration, limits) = (pending.migration, run.limits);
    let (begun, names) = (Instant::now(), holders::names(migration));
    let tables: Vec<String> = definition.tables.iter().map(|table| holders::literal(&table.name)).collect();
    let mut ladder = Ladder::default();
    loop {
        run.prepare(migration).await?;
        run.session.verify().await?;
        let found = run.observer.holders(&names).await?;
        let rung = ladder.next(limits, begun.elapsed(), holders::oldest(&found, limits), fastrand::f64());
        // What builds asks for its lock once more at its end, when all that it has done is lost if that isn't given.
        let whole = if run.session.is_mariadb() && rung.wait < TOUCH && !definition.builds { 0 } else { 1 };
        let set = run.session.run(&format!("SET SESSION lock_wait_timeout = {whole}")).await;
        set.map_err(run.session.error("set how long to wait for locks"))?;
        let watch = Watch {
            tables: &tables,
            lock: rung.wait,
            statement: if definition.builds { limits.index } else { limits.statement },
            builds: definition.builds,
            first: SHORTEST,
        };
        let Run { session, observer, progress, .. } = run;
        let (ended, cut) = observer.watch(session.run(migration.sql()), watch, progress).await?;
        if cut.is_some() || ended.is_err() {
            run.session.settle().await;
        }
        let Err(error) = ended else { return Ok(()) };
        let fault = explain(cut, error.into());
        if rung.observed && fault.is_contention() {
            ladder.observed(run.observer.seen().0.iter().any(|backend| backend.is_older_than(limits.lock)));
        }
        run.give_up_or_wait(migration, fault, ladder.tries(), begun).await?;
        tokio::time::sleep(rung.pause).await;
    }
}
