//! What is to be done to a database, for whom, and by whose authority.

use std::time::Duration;

use cutover_bus::Assignment;
use cutover_core::{DeploymentId, Engine, Epoch, Phase, ServiceName};
use cutover_migration::{Kind, Migration, Migrations, Version};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The service whose schema it is. Several may share a database; each has its own versions and its own fence.
    pub service: ServiceName,
    /// The kind of database that the migrations are for.
    pub engine: Engine,
    /// The deployment that asks for it.
    pub deployment: DeploymentId,
    /// The claim that this runs under.
    pub epoch: Epoch,
    /// All migrations of the release, of all phases, applied ones included.
    pub migrations: Migrations,
}

impl Work {
    /// What a task is to do, without the migrations.
    pub(crate) fn of(assignment: &Assignment) -> Self {
        let plan = assignment.plan();
        Self {
            service: plan.key.service.clone(),
            engine: plan.release.settings.engine,
            deployment: plan.deployment.clone(),
            epoch: assignment.epoch.clone(),
            migrations: Migrations::default(),
        }
    }
}

/// Which of it is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What the version that serves tolerates.
    Expand,
    /// The rows that the new version reads (`before=switch`).
    BackfillBeforeSwitch,
    /// All rows that are left to be brought over.
    Backfill,
    /// What only the new version tolerates.
    Contract,
}

impl Step {
    /// The phase that it belongs to.
    pub const fn phase(self) -> Phase {
        match self {
            Self::Expand => Phase::Expand,
            Self::BackfillBeforeSwitch | Self::Backfill => Phase::Backfill,
            Self::Contract => Phase::Contract,
        }
    }

    /// Whether `migration` belongs to it.
    pub fn includes(self, migration: &Migration) -> bool {
        let in_time = match migration.kind() {
            Kind::Backfill(backfill) => self == Self::Backfill || backfill.before_switch,
            _ => true,
        };
        migration.phase() == self.phase() && in_time
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The migrations that were applied now, part by part in order, and how long each took.
    pub applied: Vec<(Version, Duration)>,
    /// How many had been applied before.
    pub already: usize,
}
