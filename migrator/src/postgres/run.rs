//! The three phases of migrations on PostgreSQL.

use std::time::{Duration, Instant};

use cutover_migration::{Kind, Migration};
use tokio::sync::mpsc::UnboundedSender;

use super::backfill::{fill, is_filled};
use super::dropped_index::drop_index;
use super::index::build_index;
use super::reindex::reindex;
use super::transaction::run_in_transaction;
use super::{Ledger, Observer, Session, fence};
use crate::ledger::{self, Pending};
use crate::{Applied, Error, Limits, Progress, Step, Target, Work};

/// Applies what is due of `step`; see [`crate::apply()`].
pub(crate) async fn apply(
    database: Target<'_>,
    step: Step,
    work: &Work,
    limits: &Limits,
    progress: &UnboundedSender<Progress>,
) -> Result<Applied, Error> {
    apply_in(Session::open(database, limits).await?, database, step, work, limits, progress).await
}

/// The same in `session`, which was opened at `database`.
pub(crate) async fn apply_in(
    session: Session,
    database: Target<'_>,
    step: Step,
    work: &Work,
    limits: &Limits,
    progress: &UnboundedSender<Progress>,
) -> Result<Applied, Error> {
    work.migrations.iter().filter(|migration| step.includes(migration)).try_for_each(able)?;
    session.verify_direct(database, limits).await?;
    let applied = Box::pin(all(&session, database, step, work, limits, progress)).await;
    match applied {
        Err(error) if error.has_lost_its_session() => {
            Err(fence::overtaken(database, work, limits).await.map_or(error, Error::from))
        }
        applied => {
            session.close().await;
            applied
        }
    }
}

async fn all(
    session: &Session,
    database: Target<'_>,
    step: Step,
    work: &Work,
    limits: &Limits,
    progress: &UnboundedSender<Progress>,
) -> Result<Applied, Error> {
    session.take_turn(work, limits, progress).await?;
    let ledger = Ledger::open(session, &work.service).await?;
    ledger.take_authority(work, limits).await?;
    if matches!(step, Step::Backfill | Step::BackfillBeforeSwitch) {
        // It takes hours, and the other services of this database have schemas to change. Each batch sees for itself
        // whether its claim is still the last one.
        session.give_turn().await?;
    }

    let entries = ledger.entries().await?;
    let due = ledger::due(step, &work.migrations, &entries)?;
    let observer = Observer::new(database, session, limits);
    let mut run = Run { session, ledger, observer, work, limits, progress };
    let (mut applied, mut already) = (Vec::new(), due.already);
    for pending in &due.pending {
        if pending.again && run.is_filled(pending).await? {
            already += 1;
            continue;
        }
        applied.push((pending.migration.version(), run.apply(pending).await?));
    }
    Ok(Applied { applied, already })
}

/// Whether `migration` is something that PostgreSQL runs.
fn able(migration: &Migration) -> Result<(), Error> {
    match migration.kind() {
        Kind::Definition => Err(Error::OtherEngine { file: migration.file().to_owned() }),
        _ => Ok(()),
    }
}

/// One run through what is due.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session,
    pub(crate) ledger: Ledger<'a>,
    pub(crate) observer: Observer<'a>,
    pub(crate) work: &'a Work,
    pub(crate) limits: &'a Limits,
    pub(crate) progress: &'a UnboundedSender<Progress>,
}

impl Run<'_> {
    async fn apply(&mut self, pending: &Pending<'_>) -> Result<Duration, Error> {
        let migration = pending.migration;
        let begun = Instant::now();
        self.tell(Progress::Began { version: migration.version(), file: migration.file().to_owned() });
        match migration.kind() {
            Kind::Transaction => run_in_transaction(self, pending).await?,
            Kind::Index(index) => build_index(self, pending, index).await?,
            Kind::DropIndex(index) => drop_index(self, pending, index).await?,
            Kind::Reindex(what) => reindex(self, pending, what).await?,
            Kind::Backfill(backfill) => Box::pin(fill(self, pending, backfill)).await?,
            Kind::Definition => able(migration)?,
        }
        let took = begun.elapsed();
        self.tell(Progress::Applied {
            version: migration.version(),
            file: migration.file().to_owned(),
            took,
        });
        Ok(took)
    }

    /// Whether a backfill has nothing left to do.
    async fn is_filled(&self, pending: &Pending<'_>) -> Result<bool, Error> {
        match pending.migration.kind() {
            Kind::Backfill(backfill) => is_filled(self, pending, backfill).await,
            _ => Ok(true),
        }
    }

    /// Writes to the ledger outside of a migration's own transaction.
    pub(crate) async fn record(&self, pending: &Pending<'_>, finished: bool) -> Result<(), Error> {
        let recorded = self.ledger.record(self.work, pending, finished).await;
        recorded.map_err(self.session.error("write the ledger"))
    }

    /// The error of a migration whose lock wasn't given.
    pub(crate) fn locked(&self, migration: &Migration, tries: u32, since: Instant) -> Error {
        Error::Locked {
            file: migration.file().to_owned(),
            tries,
            waited: since.elapsed(),
            blockers: self.observer.seen(),
        }
    }

    pub(crate) fn tell(&self, progress: Progress) {
        // Nobody listening is no reason to stop in mid-migration.
        let _ = self.progress.send(progress);
    }
}
