//! The three phases of migrations on MySQL and MariaDB.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cutover_migration::{Kind, Migration, settings, statements};
use tokio::sync::mpsc::UnboundedSender;

use super::backfill::{fill, is_filled};
use super::definition::define;
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
    let session = Session::open(database, work.engine, limits).await?;
    apply_in(session, database, step, work, limits, progress).await
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
    let observer = Observer::new(database, &session, limits);
    let ledger = Ledger { service: work.service.as_str() };
    let mut run = Run { session, observer, ledger, work, limits, progress, set: BTreeSet::new() };
    let applied = Box::pin(run.all(step)).await;
    run.observer.close().await;
    run.session.close().await;
    match applied {
        Err(error) if error.has_lost_its_session() => {
            Err(fence::overtaken(database, work, limits).await.map_or(error, Error::from))
        }
        applied => applied,
    }
}

/// One run through what is due.
pub(super) struct Run<'a> {
    pub(super) session: Session,
    pub(super) observer: Observer<'a>,
    pub(super) ledger: Ledger<'a>,
    pub(super) work: &'a Work,
    pub(super) limits: &'a Limits,
    pub(super) progress: &'a UnboundedSender<Progress>,
    /// The variables that migrations have set for the session.
    set: BTreeSet<String>,
}

impl Run<'_> {
    async fn all(&mut self, step: Step) -> Result<Applied, Error> {
        let (work, limits) = (self.work, self.limits);
        self.session.take_turn(work, limits, self.progress).await?;
        self.ledger.make(&mut self.session).await?;
        self.ledger.take_authority(&mut self.session, work, limits).await?;
        if matches!(step, Step::Backfill | Step::BackfillBeforeSwitch) {
            // It takes hours, and the other services of this database have schemas to change. Each batch sees for itself
            // whether its claim is still the last one.
            self.session.give_turn().await?;
        }
        let entries = self.ledger.entries(&mut self.session).await?;
        let due = ledger::due(step, &work.migrations, &entries)?;
        let (mut applied, mut already) = (Vec::new(), due.already);
        for pending in &due.pending {
            if pending.again && self.is_filled(pending).await? {
                already += 1;
                continue;
            }
            applied.push((pending.migration.version(), self.apply(pending).await?));
        }
        Ok(Applied { applied, already })
    }

    async fn apply(&mut self, pending: &Pending<'_>) -> Result<Duration, Error> {
        let migration = pending.migration;
        let (version, file) = (migration.version(), migration.file().to_owned());
        let begun = Instant::now();
        self.tell(Progress::Began { version, file: file.clone() });
        match migration.kind() {
            Kind::Transaction => run_in_transaction(self, pending).await?,
            Kind::Definition => define(self, pending).await?,
            Kind::Backfill(backfill) => Box::pin(fill(self, pending, backfill)).await?,
            Kind::Index(_) | Kind::DropIndex(_) | Kind::Reindex(_) => {
                return Err(Error::OtherEngine { file });
            }
        }
        let took = begun.elapsed();
        self.tell(Progress::Applied { version, file, took });
        Ok(took)
    }

    /// Whether a backfill has nothing left to do.
    async fn is_filled(&mut self, pending: &Pending<'_>) -> Result<bool, Error> {
        match pending.migration.kind() {
            Kind::Backfill(backfill) => is_filled(self, pending, backfill).await,
            _ => Ok(true),
        }
    }

    /// Makes the session ready for `migration`: as all begin, and with what its file has set above it. Each statement of a file
    /// is one of its own to the ledger, and a setting that was made by a run that was killed is gone with its session.
    pub(super) async fn prepare(&mut self, migration: &Migration) -> Result<(), Error> {
        self.reset().await?;
        self.set.extend(settings(migration.sql()));
        let above = self.work.migrations.iter().filter(|above| {
            (above.version(), above.phase()) == (migration.version(), migration.phase())
                && above.part() < migration.part()
        });
        for setting in above.filter(|above| is_setting(above)) {
            let set = self.session.run(setting.sql()).await;
            set.map_err(|source| Error::statement(setting, 0, source))?;
            self.set.extend(settings(setting.sql()));
        }
        Ok(())
    }

    /// Undoes what migrations have set for the session.
    pub(super) async fn reset(&mut self) -> Result<(), Error> {
        let set = std::mem::take(&mut self.set);
        if !set.is_empty() {
            let back: Vec<String> = set.iter().map(|name| format!("`{name}` = DEFAULT")).collect();
            let back = self.session.run(&format!("SET SESSION {}", back.join(", SESSION "))).await;
            back.map_err(self.session.error("set back what a migration has set for the session"))?;
        }
        self.session.reset().await
    }

    /// Writes to the ledger outside of a migration's own transaction.
    pub(super) async fn record(
        &mut self,
        pending: &Pending<'_>,
        finished: bool,
        before: Option<&str>,
    ) -> Result<(), Error> {
        self.ledger.record(&mut self.session, self.work, pending, finished, before).await
    }

    /// The error of a migration whose lock wasn't given.
    pub(super) fn locked(&self, migration: &Migration, tries: u32, since: Instant) -> Error {
        Error::Locked {
            file: migration.file().to_owned(),
            tries,
            waited: since.elapsed(),
            blockers: self.observer.seen(),
        }
    }

    pub(super) fn tell(&self, progress: Progress) {
        // Nobody listening is no reason to stop in mid-migration.
        let _ = self.progress.send(progress);
    }
}

/// Whether a statement sets something for those below it.
fn is_setting(migration: &Migration) -> bool {
    *migration.kind() == Kind::Transaction
        && statements(migration.sql(), cutover_core::Engine::Mysql)
            .first()
            .is_some_and(|statement| statement.begins_with(&["SET"]))
}
