//! The stages of the migrator: the release's migrations from the artifact store onto its database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cutover_bus::{Assignment, Performer};
use cutover_core::{
    Engine, Failure, MigrationFile, Output, Phase, Plan, Program, Reference, ServiceName, Span, Stage, Via,
};
use cutover_fleet::Fleet;
use cutover_migration::{InvalidMigration, Migration, Migrations, Version};
use cutover_secrets::{Secret, Values};
use cutover_store::Store;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::apply::place;
use crate::rails::migrate;
use crate::tunnel::Tunnel;
use crate::{Error, Limits, Progress, Step, Target, Work, apply};

/// The largest migration, in bytes.
const MIGRATION_LIMIT: u64 = 4 << 20;

/// Does expand, backfill and contract.
#[derive(Debug)]
pub struct Migrator {
    store: Store,
    fleet: Result<Fleet, cutover_host::Error>,
}

impl Migrator {
    /// A migrator that reads migrations from `store`, and has those of Rails run on hosts that are reached through `fleet`. Where
    /// there is no way to hosts, all others are run.
    pub const fn new(store: Store, fleet: Result<Fleet, cutover_host::Error>) -> Self {
        Self { store, fleet }
    }

    /// The way to hosts.
    pub(crate) fn fleet(&self) -> Result<&Fleet, Failure> {
        self.fleet.as_ref().map_err(|error| Failure::of(error, false))
    }

    /// Answers with the versions that were applied now.
    async fn applied(
        &self,
        assignment: &Assignment,
        step: Step,
        limit: Span,
    ) -> Result<Vec<String>, Failure> {
        match &assignment.plan().release.settings.rails {
            Some(rails) => Box::pin(migrate(self.fleet()?, assignment, rails, limit)).await,
            None => Ok(self.work(assignment, step, limit.0).await?.applied),
        }
    }

    /// The migrations of the release that are concerned, the earlier phases of each included.
    pub(crate) async fn read(
        &self,
        assignment: &Assignment,
        concerned: impl Fn(&MigrationFile) -> bool,
    ) -> Result<Migrations, Failure> {
        let release = &assignment.plan().release;
        let mut migrations = Vec::with_capacity(release.migrations.len());
        for file in release.migrations.iter().filter(|file| concerned(file)) {
            let content = self.store.get_bytes(&file.content, MIGRATION_LIMIT).await;
            let content = content.map_err(|error| Failure::of(&error, error.retryable()))?;
            let sql = std::str::from_utf8(&content)
                .map_err(|_| Failure::of(&InvalidMigration::Encoding { file: file.title() }, false))?;
            let read = Migration::read(file, sql, release.settings.engine);
            migrations.extend(read.map_err(|error| Failure::of(&error, false))?);
        }
        Migrations::new(migrations).map_err(|error| Failure::of(&error, false))
    }

    /// The way to the database, where that isn't from here; and where it leads.
    pub(crate) async fn tunnel(
        &self,
        assignment: &Assignment,
        database: &Secret,
        via: Via,
    ) -> Result<Option<Tunnel>, Failure> {
        let plan = assignment.plan();
        let host = match (via, plan.hosts.first()) {
            (Via::Host, Some(host)) => host,
            _ => return Ok(None),
        };
        let fleet = self.fleet()?;
        let engine = plan.release.settings.engine;
        let (name, port) =
            place(database, engine).map_err(|error| failure(&error, &plan.key.service, engine))?;
        let host = Arc::clone(fleet.machine(host).host());
        let opened = Tunnel::open(host, name, port).await;
        opened.map(Some).map_err(|error| {
            Failure::of(&error, error.retryable()).hint(
                "with via: host the database is reached from the first host of the destination: see that it is from there, and \
                 that its sshd forwards (AllowTcpForwarding)",
            )
        })
    }

    async fn work(&self, assignment: &Assignment, step: Step, limit: Duration) -> Result<Done, Failure> {
        let plan = assignment.plan();
        let Some(database) = &plan.release.settings.database else {
            return Err(Failure::lasting("the release has migrations, and no database to run them on")
                .hint("name it in the deploy file: migrations: { database: env://DATABASE_URL }"));
        };
        let database = resolved(database, plan).await?;
        let migrations = self.read(assignment, |file| is_concerned(assignment, file)).await?;
        let work = Work { migrations, ..Work::of(assignment) };
        let tunnel = self.tunnel(assignment, &database, plan.release.settings.via).await?;
        let target = Target::by(&database, &tunnel);
        let (progress, told) = unbounded_channel();
        let settings = &plan.release.settings;
        // Another service of the same database may be at work, for as long as this one may.
        let limits = Limits { turn: limit.mul_f64(0.9), ..Limits::of(&settings.locks, &settings.backfill) };
        let run =
            async move { tokio::time::timeout(limit, apply(target, step, &work, &limits, &progress)).await };
        let (ended, rows) = tokio::join!(run, tell(assignment, told));
        match ended {
            Ok(Ok(applied)) => {
                let mut versions: Vec<Version> =
                    applied.applied.iter().map(|(version, _)| *version).collect();
                versions.dedup();
                Ok(Done { applied: versions.iter().map(ToString::to_string).collect(), rows })
            }
            Ok(Err(error)) => Err(failure(&error, &plan.key.service, plan.release.settings.engine)),
            Err(_) => {
                let setting = if step.phase() == Phase::Backfill { "backfill" } else { "migrate" };
                let took = format!("the migrations took longer than {} s", limit.as_secs());
                Err(Failure::lasting(took).hint(format!(
                    "raise timeouts.{setting} in the deploy file; what was applied stays applied"
                )))
            }
        }
    }
}

/// The URL of a database.
pub(crate) async fn resolved(database: &Reference, plan: &Plan) -> Result<Secret, Failure> {
    let value = Values::of(plan, Program::Migrator).resolve(database).await;
    value.map_err(|error| {
        Failure::of(&error, error.retryable()).hint(
            "references to stores of secrets are resolved by the migrator, from the stores that its environment names; others by \
             whoever deploys",
        )
    })
}

/// What was done.
struct Done {
    applied: Vec<String>,
    rows: u64,
}

/// Whether the task has to do with a file: of the backfills those whose rows may be left, of the contracts those that its claim
/// has begun.
fn is_concerned(assignment: &Assignment, file: &MigrationFile) -> bool {
    let service = &assignment.service;
    match file.phase {
        Phase::Expand => true,
        Phase::Backfill => {
            let schema = &service.schema;
            assignment.task.stage == Stage::Contract
                || !(schema.is_filled(&file.version) || schema.is_contracted(&file.version))
        }
        Phase::Contract => {
            let mut begun = service.contracting(&assignment.plan().release);
            assignment.task.stage == Stage::Contract && begun.any(|begun| begun == file)
        }
    }
}

impl Performer for Migrator {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        let timeouts = &assignment.plan().release.settings.timeouts;
        let has_ended = assignment.deployment().outcome().is_some();
        match assignment.task.stage {
            Stage::Expand => {
                let rehearsed = Box::pin(self.rehearse(assignment)).await?;
                let applied = self.applied(assignment, Step::Expand, timeouts.migrate).await?;
                Ok(Output::Expanded { applied, rehearsed })
            }
            Stage::Backfill => {
                let step = if has_ended { Step::Backfill } else { Step::BackfillBeforeSwitch };
                let done = Box::pin(self.work(assignment, step, timeouts.backfill.0)).await?;
                Ok(Output::Backfilled { rows: done.rows })
            }
            Stage::Contract => {
                let applied = self.applied(assignment, Step::Contract, timeouts.migrate).await?;
                Ok(Output::Contracted { applied })
            }
            other => Err(Failure::lasting(format!("{other} is no stage of the migrator"))),
        }
    }
}

/// Tells what happens in the deployment's output and, as the step that runs, in the journal; answers with the rows that were
/// brought over.
pub(crate) async fn tell(assignment: &Assignment, mut told: UnboundedReceiver<Progress>) -> u64 {
    let mut filled = BTreeMap::new();
    while let Some(event) = told.recv().await {
        if let Progress::Filled { version, rows, .. } = &event {
            filled.insert(*version, *rows);
        }
        let text = event.to_string();
        assignment.line(&text).await;
        assignment.progress(cutover_core::Progress::Step(text)).await;
    }
    filled.values().sum()
}

/// The error, and what to do about it. That the old version runs on is true of every one of them.
pub(crate) fn failure(error: &Error, service: &ServiceName, engine: Engine) -> Failure {
    let failure = Failure::of(error, error.retryable());
    match error {
        Error::Locked { .. } | Error::Turn { .. } => failure.hint(
            "end the sessions that hold the locks, then `cutover replay`: nothing is built or shipped again",
        ),
        Error::Connect { .. } if !error.retryable() => failure.hint(
            "correct the database's URL: its role, password, database, and sslmode and sslrootcert, or ssl-mode and ssl-ca (the \
             file of the authority that has signed the server's certificate); then `cutover replay`",
        ),
        Error::Connect { .. } => failure.hint("once the database answers: `cutover replay`"),
        Error::Statement { source, .. } if source.is_unsupported() => failure.hint(
            "so that nobody has to wait it isn't done otherwise: where it says INSTANT, try ALGORITHM=INPLACE, LOCK=NONE; where \
             that isn't supported either, make a new column and bring the rows over (change_type, rename_column)",
        ),
        Error::Unclear { .. } => failure.hint(
            "run one of the two in the database, then `cutover replay`",
        ),
        Error::Refused(refusal) => match refusal.adoption(service, engine) {
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
        let engine = Engine::Postgresql;
        let hint = failure(&Error::Refused(refusal.clone()), &service, engine).hint.unwrap();
        assert!(
            hint.contains("cutover adopt") && hint.contains(&refusal.adoption(&service, engine).unwrap()),
            "{hint}"
        );
        let stale = Refusal::Stale { highest: 2, given: 1 };
        assert_eq!(failure(&Error::Refused(stale), &service, engine).hint, None);
    }
}
