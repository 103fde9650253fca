//! What a deployment that has ended still owes on a host. It blocks no deployment, and is done while none runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Deployment, DeploymentId, HostName, Outcome, Permission, Stage, Status, Task, TaskState, Timestamp, Work,
};

/// The first protocol that knows obligations: to workers of an older one, their messages are of a deployment that is over.
pub(crate) const SINCE_PROTOCOL: u32 = 2;

/// A task that is owed. It is journaled and claimed like any other, under the id of the deployment that owes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligation {
    /// Who owes it.
    pub deployment: DeploymentId,
    /// What, and on which host.
    pub task: Task,
    /// Why it could not be done in its time: then it is a debt. None: it was put off on purpose.
    pub reason: Option<String>,
    /// Since when it is owed.
    pub since: Timestamp,
    /// It is not done before this time.
    pub due: Timestamp,
    /// The sequence of what it follows from: the end of the deployment or the result of the last attempt, where it was tried
    /// before, else the decision that began the round. A work message from before is of an attempt that is over: it may have
    /// been acknowledged by now, and a claim that was made for it is void.
    #[serde(default)]
    pub follows: u64,
    /// Who has approved that it is done before its usual time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Where it stands since then.
    pub state: TaskState,
}

impl Obligation {
    /// What could not be done: it is tried again after a while, for ever.
    pub(crate) fn debt(
        owing: &Deployment,
        task: Task,
        reason: String,
        follows: u64,
        since: Timestamp,
    ) -> Self {
        let due = since.after(backoff(0));
        Self { reason: Some(reason), follows, ..Self::put_off(owing, task, since, due) }
    }

    /// What is to be done later.
    pub(crate) fn put_off(owing: &Deployment, task: Task, since: Timestamp, due: Timestamp) -> Self {
        let (deployment, state) = (owing.id().clone(), owing.state(&task).in_new_round());
        let follows = owing.round_began;
        Self { deployment, task, reason: None, since, due, follows, approved_by: None, state }
    }

    /// Whether it is this task of this deployment.
    pub(crate) fn is(&self, deployment: &DeploymentId, task: &Task) -> bool {
        self.deployment == *deployment && self.task == *task
    }

    /// Whether a host failed to do it in its time.
    pub const fn is_debt(&self) -> bool {
        self.reason.is_some()
    }

    /// The host that owes it.
    pub const fn host(&self) -> Option<&HostName> {
        self.task.host.as_ref()
    }

    /// Whether it is of the schema, and not of a host. A deployment that begins has the schema to itself: what is at work for such
    /// an obligation stops then, and goes on once that has ended.
    pub const fn gives_way(&self) -> bool {
        self.task.host.is_none()
    }

    /// When it may be tried next: after a failure with a growing distance from it, however lasting it seems, as a host
    /// comes back without telling anybody.
    pub fn not_before(&self) -> Timestamp {
        match &self.state.status {
            Status::Failed { at, .. } => at.after(backoff(self.state.claims_in_round)),
            _ => self.due,
        }
    }

    /// What the worker that was handed the work message `hint` (its sequence) may do, while no deployment runs.
    pub(crate) fn permission(&self, work: &Work, hint: u64, now: Timestamp) -> Permission {
        let (expected, attempt) = (self.state.last_claim, self.state.claims + 1);
        match &self.state.status {
            Status::Claimed { claim, .. } if claim.hint == hint => Permission::Perform { expected, attempt },
            _ if !self.needs(work, hint) => Permission::Nothing,
            Status::Claimed { .. } => Permission::NotNow,
            _ if work.attempt > attempt => Permission::NotNow,
            _ if self.not_before() > now => Permission::NotBefore(self.not_before()),
            _ => Permission::Perform { expected, attempt },
        }
    }

    /// Whether the work message `hint` must not be acknowledged yet. Each attempt has a message of its own; one that isn't
    /// known yet may be in what has not been read.
    pub(crate) fn needs(&self, work: &Work, hint: u64) -> bool {
        let is_claimed = matches!(&self.state.status, Status::Claimed { claim, .. } if claim.hint == hint);
        is_claimed || (hint > self.follows && work.attempt > self.state.claims)
    }

    /// Whether a deployment that has ended has left nothing of it. What is live now, above all, is never to be taken back.
    pub(crate) fn is_paid(&self, ended: &Deployment, outcome: Outcome) -> bool {
        let Some(host) = self.host().filter(|host| ended.plan.host(host).is_some()) else { return false };
        let done = |stage| ended.state(&Task { stage, host: Some(host.clone()) }).is_finished();
        let own = self.deployment == *ended.id();
        match (outcome, self.task.stage) {
            // A host that went all the way has nothing left of what came before; where the last step is owed, it will leave
            // nothing. What the one before has kept warm may be what serves now.
            (Outcome::Live | Outcome::Degraded { live: true }, _) => true,
            // A switch takes back first what is owed.
            (_, Stage::Restore) => done(Stage::Switch) || (own && done(Stage::Restore)),
            (_, stage) => own && done(stage),
        }
    }
}

/// 5 s before the first attempt, then doubled with each, at most 10 minutes.
fn backoff(attempts: u32) -> Duration {
    Duration::from_secs(600.min(5 << attempts.min(7)))
}
