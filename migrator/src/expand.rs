//! The expand phase: the schema changes that the version that serves tolerates.

use std::time::{Duration, Instant};

use cutover_core::{DeploymentId, Epoch, Phase, ServiceName};
use cutover_secrets::Secret;
use tokio::sync::mpsc::UnboundedSender;

use crate::ledger::{self, Pending};
use crate::postgres::{Ledger, Observer, Session, build_index, run_in_transaction};
use crate::{Error, Limits, Progress};
use cutover_migration::{Kind, Migration, Migrations, Version};

/// What is to be applied, for whom, and by whose authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// The service whose schema it is. Several may share a database; each has its own versions and its own fence.
    pub service: ServiceName,
    /// The deployment that asks for it.
    pub deployment: DeploymentId,
    /// The claim that this runs under.
    pub epoch: Epoch,
    /// All migrations of the release, applied ones included.
    pub migrations: Migrations,
}

/// What an expansion has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The migrations that were applied now, in order, and how long each took.
    pub applied: Vec<(Version, Duration)>,
    /// How many had been applied before.
    pub already: usize,
}

/// Applies what is due of `expansion`, each migration once, whoever else tries at the same time. What is done is told to
/// `progress`; a receiver that is gone is no error.
///
/// Cancel-safe: dropped in mid-migration, the session is closed and the server rolls back, or leaves an unfinished index
/// that the next run finds by its intent in the ledger.
///
/// # Errors
/// When the database can't be reached, the ledger refuses, locks aren't given in time or a statement fails; see [`Error`].
pub async fn expand(
    database: &Secret,
    expansion: &Expansion,
    limits: &Limits,
    progress: &UnboundedSender<Progress>,
) -> Result<Applied, Error> {
    expansion.migrations.of(Phase::Expand).try_for_each(able)?;
    let session = Session::open(database, limits).await?;
    session.take_turn(limits, progress).await?;
    let ledger = Ledger::open(&session, &expansion.service).await?;
    ledger::admit(ledger.fence().await?.as_ref(), &expansion.epoch)?;
    ledger.raise_fence(&expansion.epoch).await?;

    let entries = ledger.entries().await?;
    let due = ledger::due(&expansion.migrations, &entries)?;
    let observer = Observer::new(database, &session, limits);
    let mut run = Run { session: &session, ledger, observer, expansion, limits, progress };
    let mut applied = Vec::new();
    for pending in &due.pending {
        applied.push((pending.migration.version(), run.apply(pending).await?));
    }
    drop(run);
    session.close().await;
    Ok(Applied { applied, already: due.already })
}

/// Whether `migration` is something that is run here.
fn able(migration: &Migration) -> Result<(), Error> {
    let what = match migration.kind() {
        _ if migration.part() > 1 => "second part of a file",
        Kind::Transaction | Kind::Index(_) => return Ok(()),
        Kind::DropIndex(_) => "DROP INDEX CONCURRENTLY",
        Kind::Reindex(_) => "REINDEX CONCURRENTLY",
        Kind::Definition => "statement of another server than PostgreSQL",
        Kind::Backfill(_) => "backfill",
    };
    Err(Error::Unable { file: migration.file().to_owned(), what })
}

/// One run through what is due, in possession of the turn.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session,
    pub(crate) ledger: Ledger<'a>,
    pub(crate) observer: Observer<'a>,
    pub(crate) expansion: &'a Expansion,
    pub(crate) limits: &'a Limits,
    pub(crate) progress: &'a UnboundedSender<Progress>,
}

impl Run<'_> {
    async fn apply(&mut self, pending: &Pending<'_>) -> Result<Duration, Error> {
        let migration = pending.migration;
        let begun = Instant::now();
        self.tell(Progress::Began { version: migration.version(), file: migration.file().to_owned() });
        match migration.kind() {
            Kind::Transaction => run_in_transaction(self, migration).await?,
            Kind::Index(index) => build_index(self, migration, index, pending.begun).await?,
            Kind::DropIndex(_) | Kind::Reindex(_) | Kind::Definition | Kind::Backfill(_) => able(migration)?,
        }
        let took = begun.elapsed();
        self.tell(Progress::Applied {
            version: migration.version(),
            file: migration.file().to_owned(),
            took,
        });
        Ok(took)
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
