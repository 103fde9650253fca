//! What can't be decided, and what can't be true.

use crate::task_state::IllegalFact;
use crate::{DeploymentId, HostName, ReleaseId, ServiceKey, Task, Timestamp};

/// A decision that can't be taken now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// One runs.
    #[error("deployment {} of {} runs, asked for by {by}", .deployment.short(), .key)]
    Running {
        /// Which.
        deployment: DeploymentId,
        /// Of what.
        key: ServiceKey,
        /// Who asked for it.
        by: String,
        /// When.
        since: Timestamp,
    },
    /// There is none of that id, or it is not the last one.
    #[error("deployment {0} is not the last one of this service")]
    NotCurrent(DeploymentId),
    /// It has ended.
    #[error("deployment {} has ended", .0.short())]
    HasEnded(DeploymentId),
    /// It still runs.
    #[error("deployment {} still runs", .0.short())]
    StillRuns(DeploymentId),
    /// Its release has the traffic: nothing to go on with.
    #[error("deployment {} ended with its release live: there is nothing to replay", .0.short())]
    IsLive(DeploymentId),
    /// The old replicas may be gone: nothing to go back to but by a rollback.
    #[error("deployment {} is past its soak and retires the old replicas: roll back once it has ended", .0.short())]
    PastReturn(DeploymentId),
    /// What it owes is being done at this moment, by a worker that the next round could get in the way of.
    #[error("{task} of deployment {} is being done: try again in a moment", .deployment.short())]
    Settling {
        /// Of which deployment.
        deployment: DeploymentId,
        /// What is done.
        task: Task,
    },
    /// The replicas that it relies on are not kept warm, or not any more.
    #[error("the replicas of release {0} are not warm any more")]
    NotWarm(ReleaseId),
    /// What it needs of the database may be gone.
    #[error(
        "release {version} was made without migration {}, whose contract phase has begun: what it needs of the database may be gone",
        .migrations.join(", ")
    )]
    Contracted {
        /// The release's name in front of people.
        version: String,
        /// The versions of the migrations that it doesn't know.
        migrations: Vec<String>,
    },
    /// No contract waits there.
    #[error("deployment {} has nothing that waits for approval", .0.short())]
    NothingToApprove(DeploymentId),
    /// No canary holds there.
    #[error("deployment {} has no canary that holds this step", .0.short())]
    NothingToPromote(DeploymentId),
    /// Nothing is owed there.
    #[error("host {0} owes nothing")]
    OwesNothing(HostName),
    /// The plan itself is wrong.
    #[error(transparent)]
    Plan(#[from] crate::InvalidPlan),
}

/// An entry of the journal that can't be true. It is left out of the fold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// A fact.
    #[error("{task} of deployment {deployment}: {source}")]
    Fact {
        /// Of which deployment.
        deployment: DeploymentId,
        /// Of which task.
        task: Task,
        /// Why.
        source: IllegalFact,
    },
    /// A decision.
    #[error("illegal decision: {0}")]
    Decision(#[from] Refused),
}
