//! One attempt to make a release live: what has happened, what is due, and how it ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::task_state::{Applied, IllegalFact};
use crate::{
    BuiltImage, Claim, DeploymentId, Digest, Fact, Failure, HostName, Obligation, Output, Plan, Promotion,
    Replica, ReplicaSet, SidecarImages, SidecarName, Stage, Status, Task, TaskState, Timestamp,
};

/// A deployment, folded from its facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// What it was to do.
    pub plan: Plan,
    /// The sequence of the decision that accepted it.
    #[serde(default)]
    pub sequence: u64,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Which round it is: 1, and one more with every replay.
    pub round: u32,
    /// The sequence of the decision that began the round.
    pub round_began: u64,
    /// The sequence of the decision before that one; 0: there was none. It names the round in the ids of work, which is
    /// published together with the decision: it is known before that is stored, and another one that turned out to be
    /// illegal, whose work is in the log all the same, had another before it.
    #[serde(default)]
    pub round_after: u64,
    /// When the round began.
    pub round_at: Timestamp,
    /// The abort of this round.
    pub abort: Option<Abort>,
    /// What was decided of the canary in this round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promotions: Vec<Promotion>,
    /// When the last fact came.
    pub last: Timestamp,
    #[serde(with = "task_list")]
    tasks: BTreeMap<Task, TaskState>,
}

/// A decision to take back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// Who asked for it.
    pub by: String,
    /// Its sequence: claims after it that have not seen it are void.
    pub sequence: u64,
}

/// Why a deployment is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// Somebody asked for it.
    Aborted(&'a Abort),
    /// A task failed for good.
    Failed(&'a Task, &'a Failure),
}

/// How a deployment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The new release has the traffic, and the old one is gone.
    Live,
    /// The new replicas were there, and are gone; the old release serves.
    TakenBack,
    /// It failed before there were new replicas; the old release was never touched.
    Failed,
    /// Somebody asked for it; the old release serves.
    Aborted,
    /// It ended, but hosts owe something.
    Degraded {
        /// Whether the new release has the traffic where nothing is owed.
        live: bool,
    },
}

/// What the worker that was handed a work message may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Claim the task, expecting this sequence as that of the last claim, and do it.
    Perform {
        /// Of the task's last claim; 0: there was none.
        expected: u64,
        /// The number of the attempt.
        attempt: u32,
    },
    /// Claim the task in the place of a worker that is gone, do nothing, and record this failure.
    Close {
        /// Of the task's last claim.
        expected: u64,
        /// The number of the attempt.
        attempt: u32,
        /// What to record.
        failure: Failure,
    },
    /// Not before this time.
    NotBefore(Timestamp),
    /// Another worker has it, or a deployment runs that comes first.
    NotNow,
    /// Nothing is to be done.
    Nothing,
}

/// A task that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The task.
    pub task: Task,
    /// The number of the attempt.
    pub attempt: u32,
    /// Not before this time.
    pub not_before: Timestamp,
}

impl Deployment {
    /// A deployment that was just accepted.
    pub(crate) fn new(plan: Plan, sequence: u64, after: u64, at: Timestamp) -> Self {
        Self {
            plan,
            sequence,
            accepted: at,
            round: 1,
            round_began: sequence,
            round_after: after,
            round_at: at,
            abort: None,
            promotions: Vec::new(),
            last: at,
            tasks: BTreeMap::new(),
        }
    }

    /// Its id.
    pub const fn id(&self) -> &DeploymentId {
        &self.plan.deployment
    }

    /// Where a task stands.
    pub fn state(&self, task: &Task) -> TaskState {
        self.tasks.get(task).cloned().unwrap_or_default()
    }

    /// The tasks to show, in order: those of the plan, then those that take back, once they are due.
    pub fn tasks(&self) -> Vec<(Task, TaskState)> {
        let back = if self.cause().is_some() { self.undo() } else { Vec::new() };
        self.plan.tasks().chain(back).map(|task| (task.clone(), self.state(&task))).collect()
    }

    /// The image: known before, or built.
    pub fn image(&self) -> Option<&Digest> {
        self.plan.image.as_ref().or_else(|| self.built().map(|(image, _)| image))
    }

    /// How the image was made, where this deployment has built it.
    pub fn provenance(&self) -> Option<&Digest> {
        self.built().and_then(|(_, provenance)| provenance)
    }

    /// The image of a sidecar: known before, or built.
    pub fn sidecar_image(&self, name: &SidecarName) -> Option<&BuiltImage> {
        let built = || match &self.tasks.get(&Task { stage: Stage::Build, host: None })?.status {
            Status::Finished { output: Output::Built { sidecars, .. }, .. } => sidecars.get(name),
            _ => None,
        };
        self.plan.sidecar_images.get(name).or_else(built)
    }

    /// All images that are known by now, that of the service first.
    pub fn images(&self) -> impl Iterator<Item = &Digest> {
        let names = self.plan.release.settings.sidecars.iter().map(|sidecar| &sidecar.name);
        let sidecars = names.filter_map(|name| Some(&self.sidecar_image(name)?.image));
        self.image().into_iter().chain(sidecars)
    }

    /// The images of all sidecars, as far as they are known by now.
    pub fn sidecar_images(&self) -> SidecarImages {
        let names = self.plan.release.settings.sidecars.iter().map(|sidecar| &sidecar.name);
        names.filter_map(|name| Some((name.clone(), self.sidecar_image(name)?.clone()))).collect()
    }

    fn built(&self) -> Option<(&Digest, Option<&Digest>)> {
        match &self.tasks.get(&Task { stage: Stage::Build, host: None })?.status {
            Status::Finished { output: Output::Built { image, provenance, .. }, .. } => {
                Some((image, provenance.as_ref()))
            }
            _ => None,
        }
    }

    /// The new replicas on a host.
    pub fn replicas(&self, host: &HostName) -> &[Replica] {
        if let Some(warm) = &self.plan.warm {
            return warm.hosts.get(host).map_or(&[], Vec::as_slice);
        }
        let task = Task { stage: Stage::Boot, host: Some(host.clone()) };
        match self.tasks.get(&task).map(|state| &state.status) {
            Some(Status::Finished { output: Output::Booted { replicas }, .. }) => replicas,
            _ => &[],
        }
    }

    /// The new replicas on all hosts.
    pub(crate) fn replica_set(&self) -> ReplicaSet {
        let hosts =
            self.plan.hosts.iter().map(|host| (host.name.clone(), self.replicas(&host.name).to_vec()));
        ReplicaSet { booted_by: self.plan.booted_by().clone(), hosts: hosts.collect() }
    }

    /// The deployment as the worker of an obligation sees it: with the state of that in the task's place.
    pub(crate) fn owing(&self, obligation: &Obligation) -> Self {
        let mut seen = self.clone();
        seen.tasks.insert(obligation.task.clone(), obligation.state.clone());
        seen
    }

    /// Counts a claim that was made for what it still owes after its end.
    pub(crate) fn count_later_claim(&mut self, task: &Task, sequence: u64) {
        self.tasks.entry(task.clone()).or_default().count_void_claim(sequence);
    }

    /// Takes a fact in.
    pub(crate) fn apply(
        &mut self,
        sequence: u64,
        at: Timestamp,
        task: &Task,
        fact: &Fact,
    ) -> Result<Applied, IllegalFact> {
        if !self.is_planned(task) {
            return Err(IllegalFact { state: "no such task", fact: fact.kind().as_str() });
        }
        if let Fact::Claimed(claim) = fact
            && self.is_void(task, claim)
        {
            self.tasks.entry(task.clone()).or_default().count_void_claim(sequence);
            return Ok(Applied::Nothing);
        }
        if self.outcome().is_some() {
            return Ok(Applied::Nothing);
        }
        let applied = self.tasks.entry(task.clone()).or_default().apply(sequence, at, fact)?;
        if applied == Applied::Changed {
            self.last = at;
        }
        Ok(applied)
    }

    /// Whether the plan has the task, or what takes it back, or it may be owed after the end.
    fn is_planned(&self, task: &Task) -> bool {
        let is_owed = self.outcome().is_some() && task.stage == Stage::Backfill;
        (is_owed || !task.stage.is_planned() || self.plan.stages.contains(&task.stage))
            && self.plan.tasks_of(task.stage).any(|known| known == *task)
    }

    /// Whether a claim was made by a worker that had not read the journal to its end, and comes too late: after a decision
    /// that it has not seen, after the end, for what is done or failed for good, or for the way forward once it goes
    /// back (but to close what another worker has left open).
    fn is_void(&self, task: &Task, claim: &Claim) -> bool {
        let state = self.state(task);
        let in_force = self.abort.as_ref().map_or(self.round_began, |abort| abort.sequence);
        let goes_back = self.cause().is_some() && !task.stage.takes_back();
        claim.decision < in_force
            || self.outcome().is_some()
            || state.is_settled(task.stage)
            || (goes_back && !state.is_open())
    }

    pub(crate) fn abort(&mut self, sequence: u64, by: &str) {
        self.abort = Some(Abort { by: by.to_owned(), sequence });
    }

    /// Begins a new round. What was built, shipped and expanded is kept, unless it comes at or after `from`.
    pub(crate) fn replay(&mut self, sequence: u64, after: u64, at: Timestamp, from: Option<Stage>) {
        self.round += 1;
        self.round_began = sequence;
        self.round_after = after;
        self.round_at = at;
        self.last = at;
        self.abort = None;
        self.promotions.clear();
        for (task, state) in &mut self.tasks {
            let kept = task.stage.output_is_kept() && from.is_none_or(|from| task.stage < from);
            if !(kept && state.is_finished()) {
                *state = state.in_new_round();
            }
        }
    }

    /// Whether a promotion ends anything: all steps of a canary that isn't over, or the one that it has come to.
    pub(crate) fn is_promotable(&self, step: Option<u32>) -> bool {
        let canary = Task { stage: Stage::Canary, host: None };
        let is_ahead =
            self.plan.stages.contains(&Stage::Canary) && self.cause().is_none() && !self.is_finished(&canary);
        is_ahead && step.is_none_or(|step| self.state(&canary).reached == Some(step))
    }

    /// Whether the old replicas may be gone already: from then on it can't be aborted.
    pub(crate) fn is_past_return(&self) -> bool {
        self.plan.tasks_of(Stage::Retire).any(|task| self.was_claimed(&task))
    }

    /// Why it is taken back; none while it goes forward. Replicas that couldn't be retired are a debt, no cause.
    pub fn cause(&self) -> Option<Cause<'_>> {
        if let Some(abort) = &self.abort {
            return Some(Cause::Aborted(abort));
        }
        // The first in time: what fails after it, or is closed because of it, is no cause.
        let failed =
            self.tasks.iter().filter(|(task, _)| task.stage < Stage::Retire).filter_map(|(task, state)| {
                let Status::Failed { at, .. } = &state.status else { return None };
                Some((at, task, state.final_failure(task.stage)?))
            });
        failed.min_by_key(|(at, ..)| *at).map(|(_, task, failure)| Cause::Failed(task, failure))
    }

    /// Whether the new replicas may have traffic on the task's host: a switch was claimed there, or a canary anywhere.
    fn may_have_traffic(&self, task: &Task) -> bool {
        [Stage::Canary, Stage::Switch].iter().any(|stage| self.was_claimed(&task.beside(*stage)))
    }

    /// The tasks that take back what was done: wherever there may be traffic a restore, wherever a boot was claimed a discard.
    fn undo(&self) -> Vec<Task> {
        let restores = self.plan.tasks_of(Stage::Restore).filter(|task| self.may_have_traffic(task));
        let is_booted = |task: &Task| self.was_claimed(&task.beside(Stage::Boot));
        restores.chain(self.plan.tasks_of(Stage::Discard).filter(is_booted)).collect()
    }

    /// The tasks that are due, in the order of the pipeline. A task that a worker has is not among them.
    pub fn due(&self) -> Vec<Due> {
        let candidates: Vec<Task> = if self.cause().is_some() {
            self.may_take_back()
        } else {
            let done = self.done();
            self.plan.tasks().filter(|task| self.may_go_forward(task, &done)).collect()
        };
        candidates
            .into_iter()
            .filter_map(|task| {
                let state = self.state(&task);
                let due = !state.is_open() && !state.is_settled(task.stage);
                due.then(|| Due { attempt: state.claims + 1, not_before: state.not_before(), task })
            })
            .collect()
    }

    /// The stages of which nothing is left to do, those that the plan doesn't have included.
    fn done(&self) -> Vec<Stage> {
        let is_done = |stage: &Stage| {
            !self.plan.stages.contains(stage)
                || self.plan.tasks_of(*stage).all(|task| self.is_finished(&task))
        };
        Stage::ALL.into_iter().filter(is_done).collect()
    }

    fn is_finished(&self, task: &Task) -> bool {
        self.tasks.get(task).is_some_and(TaskState::is_finished)
    }

    /// Whether all that a task of the way forward needs is there.
    fn may_go_forward(&self, task: &Task, done: &[Stage]) -> bool {
        let all = |stage: Stage| done.contains(&stage);
        let own = |stage: Stage| all(stage) || self.is_finished(&task.beside(stage));
        match task.stage {
            Stage::Build => true,
            Stage::Ship => all(Stage::Build),
            // The schema is touched only once every host has the image.
            Stage::Expand => all(Stage::Build) && all(Stage::Ship),
            Stage::Backfill => all(Stage::Expand),
            Stage::Boot => own(Stage::Ship) && all(Stage::Expand) && all(Stage::Backfill),
            Stage::Probe => own(Stage::Boot),
            // No host has traffic for it before every host is ready.
            Stage::Canary => all(Stage::Probe),
            Stage::Switch => all(Stage::Probe) && all(Stage::Canary),
            Stage::Soak => all(Stage::Switch),
            Stage::Retire => all(Stage::Switch) && all(Stage::Soak),
            Stage::Cool | Stage::Contract | Stage::Restore | Stage::Discard => false,
        }
    }

    /// The tasks that take back and may begin. Traffic comes back at once, with the fence; replicas are removed once no
    /// traffic can reach them and no worker is still making any.
    fn may_take_back(&self) -> Vec<Task> {
        let undo = self.undo();
        let restores = || undo.iter().filter(|task| task.stage == Stage::Restore);
        let settled = |task: &Task| self.tasks.get(task).is_some_and(|state| state.is_settled(task.stage));
        let all_back = !self.has_open_claims() && restores().all(settled);
        let own_back = |task: &Task| {
            let restore = task.beside(Stage::Restore);
            self.is_finished(&restore) || !self.may_have_traffic(task)
        };
        let may = |task: &&Task| task.stage == Stage::Restore || (all_back && own_back(task));
        undo.iter().filter(may).cloned().collect()
    }

    fn was_claimed(&self, task: &Task) -> bool {
        self.tasks.get(task).is_some_and(TaskState::was_claimed)
    }

    /// Whether a worker has a task of the way forward.
    fn has_open_claims(&self) -> bool {
        self.plan.tasks().any(|task| self.tasks.get(&task).is_some_and(TaskState::is_open))
    }

    /// How it ended; none while it runs.
    pub fn outcome(&self) -> Option<Outcome> {
        let Some(cause) = self.cause() else {
            let settled = |task: Task| {
                let state = self.state(&task);
                state.is_finished() || (task.stage == Stage::Retire && state.is_settled(task.stage))
            };
            let ended = self.plan.tasks().all(settled);
            let outcome =
                if self.debts().is_empty() { Outcome::Live } else { Outcome::Degraded { live: true } };
            return ended.then_some(outcome);
        };
        let undo = self.undo();
        let unrestored = |task: &Task| {
            task.stage == Stage::Discard
                && self.state(&task.beside(Stage::Restore)).final_failure(Stage::Restore).is_some()
        };
        let ended = !self.has_open_claims()
            && undo.iter().all(|task| self.state(task).is_settled(task.stage) || unrestored(task));
        ended.then(|| match cause {
            _ if !self.debts().is_empty() => Outcome::Degraded { live: false },
            Cause::Aborted(_) => Outcome::Aborted,
            Cause::Failed(..) if undo.is_empty() => Outcome::Failed,
            Cause::Failed(..) => Outcome::TakenBack,
        })
    }

    /// What hosts owe: tasks at the end of the way, forward or back, that failed for good.
    pub fn debts(&self) -> Vec<(Task, Failure)> {
        self.tasks
            .iter()
            .filter(|(task, _)| task.stage == Stage::Retire || task.stage.takes_back())
            .filter_map(|(task, state)| Some((task.clone(), state.final_failure(task.stage)?.clone())))
            .collect()
    }

    /// What the worker that was handed the work message `hint` (its sequence) for `task` may do. A message of an earlier
    /// round says nothing: another worker may be about to acknowledge it, as it was of no use any more.
    pub fn permission(&self, task: &Task, hint: u64, now: Timestamp) -> Permission {
        if hint < self.round_began {
            return Permission::Nothing;
        }
        let state = self.state(task);
        let (expected, attempt) = (state.last_claim, state.claims + 1);
        if let Status::Claimed { claim, .. } = &state.status {
            if claim.hint != hint {
                return Permission::NotNow;
            }
            let close =
                |message: String| Permission::Close { expected, attempt, failure: Failure::lasting(message) };
            return if state.claims_in_round >= task.stage.attempts() {
                close(format!(
                    "{task}: given up after {} workers took it and none came back",
                    state.claims_in_round
                ))
            } else if self.cause().is_some() && !task.stage.takes_back() {
                close(format!("{task}: not gone on with, as the deployment is taken back"))
            } else {
                Permission::Perform { expected, attempt }
            };
        }
        match self.due().into_iter().find(|due| due.task == *task) {
            Some(due) if due.not_before > now => Permission::NotBefore(due.not_before),
            Some(_) => Permission::Perform { expected, attempt },
            None => Permission::Nothing,
        }
    }

    /// Whether the work message `hint` for `task` must not be acknowledged yet: the task is to be done, or may still come
    /// to it. Its message, once forgotten, could not be published again, as that would be a duplicate.
    ///
    /// What isn't needed will never be needed again: a worker that says so late takes nothing from the one that the
    /// message was delivered to in the meantime.
    pub fn needs(&self, task: &Task, hint: u64) -> bool {
        let state = self.state(task);
        hint > self.round_began
            && self.outcome().is_none()
            && !state.is_settled(task.stage)
            && (task.stage.takes_back() || state.is_open() || self.cause().is_none())
            && self.is_planned(task)
    }

    /// Whether the claim of that sequence is the one in force, and what it was made for still wanted.
    pub fn holds(&self, task: &Task, claim: u64) -> bool {
        let state = self.state(task);
        state.is_open() && state.in_force == claim && (task.stage.takes_back() || self.cause().is_none())
    }
}

/// Tasks as a list of pairs: JSON has no keys but text.
mod task_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::{Task, TaskState};

    pub(super) fn serialize<S: Serializer>(
        tasks: &BTreeMap<Task, TaskState>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        tasks.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Task, TaskState>, D::Error> {
        Ok(Vec::<(Task, TaskState)>::deserialize(deserializer)?.into_iter().collect())
    }
}
