//! A service at a destination: what is live, what is kept, and the deployment that runs or ran last.

use serde::{Deserialize, Serialize};

use crate::task_state::{Applied, IllegalFact};
use crate::{
    Cause, Decision, Deployment, DeploymentId, Digest, Entry, Event, HostName, Intent, Outcome, Release,
    ReleaseId, Stage, Task, Timestamp,
};

/// Ended deployments that are remembered for `history`.
const REMEMBERED: usize = 100;

/// All that the journal says of a service. Folded from its entries, from the first or from a snapshot on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The releases that can be made live again, the live one first.
    pub kept: Vec<KeptRelease>,
    /// Whether the first of `kept` is live.
    pub is_live: bool,
    /// The deployment that runs, or the last one that ran.
    pub current: Option<Deployment>,
    /// Deployments that ended, the last first.
    pub history: Vec<Ended>,
    /// What hosts owe since a deployment could not be brought to its end on them.
    #[serde(default)]
    pub debts: Vec<Debt>,
    /// The sequence of the last decision: the next one is appended expecting it.
    pub last_decision: u64,
    /// The sequence of the last entry taken in.
    pub sequence: u64,
    /// Whether a snapshot of the last end is in the journal.
    pub snapshot_taken: bool,
}

/// A release that can be made live again without a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRelease {
    /// Its id.
    pub id: ReleaseId,
    /// All of it.
    pub release: Release,
    /// The image that it was live with.
    pub image: Digest,
    /// The deployment that made it live last.
    pub deployment: DeploymentId,
    /// When it went live last.
    pub since: Timestamp,
}

/// What a host owes: the end of a deployment, forward or back, that failed on it for good. It is paid before the host
/// takes traffic for another deployment, and remembered until then, or until somebody forgives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// Who owes it.
    pub host: HostName,
    /// What: retire, restore or discard.
    pub stage: Stage,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// Why it could not be done.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// How a deployment ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub deployment: DeploymentId,
    /// What it was to make live.
    pub release: ReleaseId,
    /// The release's name in front of people.
    pub version: String,
    /// Why there was one.
    pub intent: Intent,
    /// Who asked for it.
    pub by: String,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What made it end so.
    pub reason: Option<String>,
}

/// A decision that can't be taken now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// One runs.
    #[error("deployment {} of {} runs, asked for by {by}", .deployment.short(), .key)]
    Running {
        /// Which.
        deployment: DeploymentId,
        /// Of what.
        key: crate::ServiceKey,
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

/// What follows from the state of a service, to be carried out by whoever recorded the last fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Publish work.
    Run(Work),
    /// Write a snapshot.
    Snapshot,
}

/// A work message: a hint that a task is due. It carries no authority; whoever gets it looks in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The protocol that the worker must know.
    pub protocol: u32,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// Which task.
    pub task: Task,
    /// The number of the attempt.
    pub attempt: u32,
}

impl Debt {
    /// Whether a deployment that has ended has left nothing of it. What is live now, above all, is never to be taken back.
    fn is_paid(&self, ended: &Deployment, outcome: Outcome) -> bool {
        if ended.plan.host(&self.host).is_none() {
            return false;
        }
        let done = |stage| ended.state(&Task { stage, host: Some(self.host.clone()) }).is_finished();
        let own = self.deployment == *ended.id();
        match (outcome, self.stage) {
            // A host that went all the way has nothing left of what came before.
            (Outcome::Live, _) => true,
            (Outcome::Degraded { live: true }, _) if own || done(Stage::Retire) => true,
            // A switch takes back first what is owed.
            (_, Stage::Restore) => done(Stage::Switch) || (own && done(Stage::Restore)),
            (_, stage) => own && done(stage),
        }
    }
}

impl Service {
    /// What a host owes.
    pub fn debts_of(&self, host: &HostName) -> impl Iterator<Item = &Debt> {
        self.debts.iter().filter(move |debt| debt.host == *host)
    }

    /// The release that has the traffic.
    pub fn live(&self) -> Option<&KeptRelease> {
        self.kept.first().filter(|_| self.is_live)
    }

    /// The deployment that runs.
    pub fn running(&self) -> Option<&Deployment> {
        self.current.as_ref().filter(|deployment| deployment.outcome().is_none())
    }

    /// Takes an entry in. Entries come in the order of their sequences; one that was taken in changes nothing.
    ///
    /// # Errors
    /// An entry that can't be true; the state is as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<Applied, Illegal> {
        if entry.sequence <= self.sequence {
            return Ok(Applied::Nothing);
        }
        self.sequence = entry.sequence;
        match &entry.event {
            Event::Decision(decision) => {
                self.last_decision = entry.sequence;
                self.check(decision)?;
                self.decide(entry.sequence, entry.at, decision);
                if matches!(decision, Decision::Forgiven { .. }) {
                    // No deployment has ended by it.
                    return Ok(Applied::Changed);
                }
            }
            Event::Fact { deployment, task, fact } => {
                let Some(current) = self.current.as_mut().filter(|current| current.id() == deployment) else {
                    return Ok(Applied::Nothing);
                };
                let applied = current.apply(entry.sequence, entry.at, task, fact);
                let illegal =
                    |source| Illegal::Fact { deployment: deployment.clone(), task: task.clone(), source };
                if applied.map_err(illegal)? == Applied::Nothing {
                    return Ok(Applied::Nothing);
                }
            }
            Event::Snapshot => {
                self.snapshot_taken = true;
                return Ok(Applied::Nothing);
            }
        }
        self.settle(entry.at);
        Ok(Applied::Changed)
    }

    /// Whether a decision may be taken now.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, decision: &Decision) -> Result<(), Refused> {
        if let Decision::Accepted(plan) = decision {
            plan.check()?;
            return match self.running() {
                None => Ok(()),
                Some(running) => Err(Refused::Running {
                    deployment: running.id().clone(),
                    key: running.plan.key.clone(),
                    by: running.plan.by.clone(),
                    since: running.accepted,
                }),
            };
        }
        if let Decision::Forgiven { host, .. } = decision {
            return match self.debts.iter().any(|debt| debt.host == *host) {
                true => Ok(()),
                false => Err(Refused::OwesNothing(host.clone())),
            };
        }
        let id = decision.deployment();
        let Some(current) = self.current.as_ref().filter(|current| current.id() == id) else {
            return Err(Refused::NotCurrent(id.clone()));
        };
        match (decision, current.outcome()) {
            (Decision::Aborted { .. }, Some(_)) => Err(Refused::HasEnded(id.clone())),
            (Decision::Aborted { .. }, None) if current.is_past_return() => {
                Err(Refused::PastReturn(id.clone()))
            }
            (Decision::Replayed { .. }, None) => Err(Refused::StillRuns(id.clone())),
            (Decision::Replayed { .. }, Some(Outcome::Live | Outcome::Degraded { live: true })) => {
                Err(Refused::IsLive(id.clone()))
            }
            _ => Ok(()),
        }
    }

    fn decide(&mut self, sequence: u64, at: Timestamp, decision: &Decision) {
        match (decision, self.current.as_mut()) {
            (Decision::Accepted(plan), _) => {
                self.current = Some(Deployment::new(plan.as_ref().clone(), sequence, at));
            }
            (Decision::Aborted { by, .. }, Some(current)) if current.abort.is_none() => {
                current.abort(sequence, by)
            }
            (Decision::Replayed { from, .. }, Some(current)) => current.replay(sequence, at, *from),
            (Decision::Forgiven { host, .. }, _) => self.debts.retain(|debt| debt.host != *host),
            _ => {}
        }
        self.snapshot_taken = false;
    }

    /// Once the current deployment has ended: what is live now, and the line in the history.
    fn settle(&mut self, at: Timestamp) {
        let Some(current) = &self.current else { return };
        let Some(outcome) = current.outcome() else { return };
        let id = current.plan.release.id();
        if matches!(outcome, Outcome::Live | Outcome::Degraded { live: true })
            && let Some(image) = current.image()
        {
            let live = KeptRelease {
                id: id.clone(),
                release: current.plan.release.clone(),
                image: image.clone(),
                deployment: current.id().clone(),
                since: at,
            };
            let retain = usize::try_from(current.plan.release.settings.retain).unwrap_or(usize::MAX);
            self.kept.retain(|kept| kept.id != id);
            self.kept.insert(0, live);
            self.kept.truncate(retain.saturating_add(1));
            self.is_live = true;
        }
        self.debts.retain(|debt| !debt.is_paid(current, outcome));
        for (task, failure) in current.debts() {
            let Some(host) = task.host else { continue };
            let debt = Debt {
                host,
                stage: task.stage,
                deployment: current.id().clone(),
                reason: failure.message,
                since: at,
            };
            self.debts.retain(|known| {
                (&known.host, known.stage, &known.deployment) != (&debt.host, debt.stage, &debt.deployment)
            });
            self.debts.push(debt);
        }
        let reason = current.cause().map(|cause| match cause {
            Cause::Aborted(abort) => format!("aborted by {}", abort.by),
            Cause::Failed(task, failure) => format!("{task}: {}", failure.message),
        });
        self.history.insert(
            0,
            Ended {
                deployment: current.id().clone(),
                release: id,
                version: current.plan.release.version.clone(),
                intent: current.plan.intent.clone(),
                by: current.plan.by.clone(),
                accepted: current.round_at,
                at,
                outcome,
                reason,
            },
        );
        self.history.truncate(REMEMBERED);
    }

    /// What follows from the state. Whoever has changed it, or finds it so, carries it out; doing it twice does no harm.
    /// Work that is not due yet is left out.
    pub fn effects(&self, now: Timestamp) -> Vec<Effect> {
        let Some(current) = &self.current else { return Vec::new() };
        if current.outcome().is_some() {
            return if self.snapshot_taken { Vec::new() } else { vec![Effect::Snapshot] };
        }
        current
            .due()
            .into_iter()
            .filter(|due| due.not_before <= now)
            .map(|due| {
                Effect::Run(Work {
                    protocol: current.plan.protocol,
                    deployment: current.id().clone(),
                    task: due.task,
                    attempt: due.attempt,
                })
            })
            .collect()
    }

    /// The kept release whose image was made of the same source: it needs no build.
    pub fn built(&self, release: &Release) -> Option<&Digest> {
        self.kept.iter().find(|kept| kept.release.source == release.source).map(|kept| &kept.image)
    }

    /// The stage that a replay of the current deployment would enter at.
    pub fn replay_entry(&self, from: Option<Stage>) -> Option<Stage> {
        let mut next = self.current.clone()?;
        next.replay(self.sequence + 1, Timestamp::default(), from);
        next.due().first().map(|due| due.task.stage)
    }
}
