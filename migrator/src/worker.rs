//! The expand stage: the release's migrations from the artifact store onto its database.

use cutover_bus::{Assignment, Performer};
use cutover_core::{Engine, Failure, MigrationFile, Output, ServiceName, Stage};
use cutover_store::Store;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{Error, Limits, Progress, Step, Work, apply};
use cutover_migration::{InvalidMigration, Migration, Migrations};

/// The largest migration, in bytes.
const MIGRATION_LIMIT: u64 = 4 << 20;

/// Does the expand stage.
#[derive(Debug)]
pub struct Migrator {
    store: Store,
}

impl Migrator {
    /// A migrator that reads migrations from `store`.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// The migrations of the first phase.
    async fn read(&self, files: &[MigrationFile], engine: Engine) -> Result<Migrations, Failure> {
        let mut migrations = Vec::with_capacity(files.len());
        for file in files.iter().filter(|file| file.phase.is_expand()) {
            let content = self.store.get_bytes(&file.content, MIGRATION_LIMIT).await;
            let content = content.map_err(|error| Failure::of(&error, error.retryable()))?;
            let sql = std::str::from_utf8(&content)
                .map_err(|_| Failure::of(&InvalidMigration::Encoding { file: file.title() }, false))?;
            let read = Migration::read(file, sql, engine);
            migrations.extend(read.map_err(|error| Failure::of(&error, false))?);
        }
        Migrations::new(migrations).map_err(|error| Failure::of(&error, false))
    }
}

impl Performer for Migrator {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        let plan = assignment.plan();
        let settings = &plan.release.settings;
        if assignment.task.stage != Stage::Expand {
            return Err(Failure::lasting(format!("{} is no stage of this migrator", assignment.task.stage)));
        }
        let Some(database) = &settings.database else {
            return Err(Failure::lasting("the release has migrations, and no database to run them on")
                .hint("name it in the deploy file: migrations: { database: env://DATABASE_URL }"));
        };
        let database = cutover_secrets::resolve(database).await.map_err(|error| {
            Failure::of(&error, false)
                .hint("references are resolved by the migrator, from its own environment and files")
        })?;
        let work = Work {
            service: plan.key.service.clone(),
            deployment: plan.deployment.clone(),
            epoch: assignment.epoch.clone(),
            migrations: self.read(&plan.release.migrations, settings.engine).await?,
        };
        let (progress, told) = unbounded_channel();
        let limit = settings.timeouts.migrate.0;
        let limits = Limits::default();
        let run = async move {
            tokio::time::timeout(limit, apply(&database, Step::Expand, &work, &limits, &progress)).await
        };
        let (ended, ()) = tokio::join!(run, tell(assignment, told));
        match ended {
            Ok(Ok(applied)) => {
                let applied = applied.applied.iter().map(|(version, _)| version.to_string()).collect();
                Ok(Output::Expanded { applied })
            }
            Ok(Err(error)) => Err(failure(&error, &plan.key.service)),
            Err(_) => Err(Failure::lasting(format!("the migrations took longer than {} s", limit.as_secs()))
                .hint("raise timeouts.migrate in the deploy file; what was applied stays applied")),
        }
    }
}

/// Tells what happens in the deployment's output and, as the step that runs, in the journal.
async fn tell(assignment: &Assignment, mut told: UnboundedReceiver<Progress>) {
    while let Some(event) = told.recv().await {
        let text = event.to_string();
        assignment.line(&text).await;
        assignment.progress(cutover_core::Progress::Step(text)).await;
    }
}

/// The error, and what to do about it. That the old version runs on is true of every one of them.
fn failure(error: &Error, service: &ServiceName) -> Failure {
    let failure = Failure::of(error, error.retryable());
    match error {
        Error::Locked { .. } | Error::Turn { .. } => failure.hint(
            "end the sessions that hold the locks, then `cutover replay`: nothing is built or shipped again",
        ),
        Error::Connect { .. } if !error.retryable() => failure.hint(
            "correct the database's URL: its role, password, database, sslmode and sslrootcert (the file of the authority that \
             has signed the server's certificate); then `cutover replay`",
        ),
        Error::Connect { .. } => failure.hint("once the database answers: `cutover replay`"),
        Error::Refused(refusal) => match refusal.adoption(service) {
            Some(adoption) => failure.hint(format!(
                "if the other control plane is gone for good, run `cutover adopt` and, in the database: {adoption} \
                 Then `cutover replay`"
            )),
            None => failure,
        },
        _ => failure,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::JournalId;

    use super::*;
    use crate::ledger::Refusal;

    #[test]
    fn whoever_is_refused_for_another_journal_is_told_how_to_adopt_the_schema() {
        let service: ServiceName = "shop".parse().unwrap();
        let refusal = Refusal::Foreign { owner: JournalId("a".into()), given: JournalId("b".into()) };
        let hint = failure(&Error::Refused(refusal.clone()), &service).hint.unwrap();
        assert!(
            hint.contains("cutover adopt") && hint.contains(&refusal.adoption(&service).unwrap()),
            "{hint}"
        );
        let stale = Refusal::Stale { highest: 2, given: 1 };
        assert_eq!(failure(&Error::Refused(stale), &service).hint, None);
    }
}
