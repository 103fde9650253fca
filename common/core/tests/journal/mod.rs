//! A journal in memory, and workers that write to it: what the tests of the state machine stand on.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod plans;
mod transcript;

use std::collections::HashMap;

use cutover_core::{
    Applied, Claim, Decision, Deployment, DeploymentId, Digest, Effect, Entry, Event, Evidence, Fact,
    Failure, HostName, Illegal, Outcome, Output, PROTOCOL, Permission, Plan, Progress, Replica, Service,
    Stage, Task, Timestamp, Work,
};
#[allow(unused_imports)]
pub use plans::{id, keeping_warm, plan, rollback, warm_rollback};
#[allow(unused_imports)]
pub use transcript::{TO_RETIRE, TO_SWITCH, next, play, two_hosts, unrestored};

/// The first protocol that knows what is owed; no plan of these tests but an older one needs less.
pub const OWES: u32 = 2;

/// The journal of one service, as the server keeps it, and the fold of all that is in it.
#[derive(Clone)]
pub struct Journal {
    pub service: Service,
    pub entries: Vec<Entry>,
    pub now: Timestamp,
    /// The sequence of the last claim on each claim subject, by the server's own count.
    pub claims: HashMap<(DeploymentId, Task), u64>,
    /// The last sequence that the server has given, to an entry or to a work message.
    last: u64,
}

impl Journal {
    pub fn new() -> Self {
        let (service, entries, claims) = (Service::default(), Vec::new(), HashMap::new());
        Self { service, entries, now: Timestamp(1_000_000), claims, last: 0 }
    }

    /// A journal whose service runs the deployment of `plan`.
    pub fn with(plan: Plan) -> Self {
        let mut journal = Self::new();
        journal.decide(Decision::Accepted(Box::new(plan))).unwrap();
        journal
    }

    /// Appends an entry one second after the last one.
    pub fn append(&mut self, event: Event) -> Result<Applied, Illegal> {
        self.last += 1;
        let sequence = self.last;
        self.now = self.now.after(std::time::Duration::from_secs(1));
        if let Event::Fact { deployment, task, fact: Fact::Claimed(_) } = &event {
            self.claims.insert((deployment.clone(), task.clone()), sequence);
        }
        let entry = Entry { sequence, at: self.now, event };
        self.entries.push(entry.clone());
        self.service.apply(&entry)
    }

    pub const fn sequence(&self) -> u64 {
        self.last
    }

    pub fn decide(&mut self, decision: Decision) -> Result<Applied, Illegal> {
        self.append(Event::Decision(decision))
    }

    pub fn accept(&mut self, plan: &Plan) -> Result<Applied, Illegal> {
        self.decide(Decision::Accepted(Box::new(plan.clone())))
    }

    pub fn abort(&mut self) -> Result<Applied, Illegal> {
        let deployment = self.current().id().clone();
        self.decide(Decision::Aborted { deployment, by: "bea@desk".into() })
    }

    pub fn replay(&mut self, from: Option<Stage>) -> Result<Applied, Illegal> {
        let deployment = self.current().id().clone();
        self.decide(Decision::Replayed { deployment, by: "cem@desk".into(), from })
    }

    pub fn forgive(&mut self, host: &str) -> Result<Applied, Illegal> {
        let deployment = self.current().id().clone();
        self.decide(Decision::Forgiven { deployment, host: host_name(host), by: "dora@desk".into() })
    }

    pub fn current(&self) -> &Deployment {
        self.service.current.as_ref().expect("a deployment")
    }

    /// Whose task it is, where nobody says so: of the deployment that runs, else of who owes it, else of the last one.
    pub fn owner(&self, task: &Task) -> DeploymentId {
        let running = self.service.running().filter(|_| task.stage != Stage::Cool).map(Deployment::id);
        let owed = || self.service.obligations.iter().find(|owed| owed.task == *task);
        let id = running.or_else(|| owed().map(|owed| &owed.deployment));
        id.unwrap_or_else(|| self.current().id()).clone()
    }

    pub fn fact(&mut self, task: &Task, fact: Fact) -> Result<Applied, Illegal> {
        self.fact_of(&self.owner(task), task, fact)
    }

    pub fn fact_of(&mut self, id: &DeploymentId, task: &Task, fact: Fact) -> Result<Applied, Illegal> {
        self.append(Event::Fact { deployment: id.clone(), task: task.clone(), fact })
    }

    /// A work message of its own.
    pub const fn hint(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A claim by a worker that has read the journal up to now, for a new work message.
    pub fn claim(&mut self, task: &Task) -> u64 {
        self.claim_of(&self.owner(task), task)
    }

    pub fn claim_of(&mut self, id: &DeploymentId, task: &Task) -> u64 {
        let (decision, hint) = (self.service.last_decision, self.hint());
        self.claim_of_as(id, task, decision, hint)
    }

    /// A claim by a worker that has seen decisions up to `decision`, for the work message `hint`.
    pub fn claim_as(&mut self, task: &Task, decision: u64, hint: u64) -> u64 {
        self.claim_of_as(&self.owner(task), task, decision, hint)
    }

    pub fn claim_of_as(&mut self, id: &DeploymentId, task: &Task, decision: u64, hint: u64) -> u64 {
        let attempt = self.service.state(id, task).claims + 1;
        let claim = Claim { attempt, worker: format!("worker-{}", self.sequence()), decision, hint };
        let _ = self.fact_of(id, task, Fact::Claimed(claim));
        self.sequence()
    }

    pub fn progress(&mut self, task: &Task, claim: u64) -> Result<Applied, Illegal> {
        self.fact(task, Fact::Progressed { claim, progress: Progress::Bytes { done: 1, total: 2 } })
    }

    pub fn finish(&mut self, task: &Task, claim: u64) -> Result<Applied, Illegal> {
        self.finish_of(&self.owner(task), task, claim)
    }

    pub fn finish_of(&mut self, id: &DeploymentId, task: &Task, claim: u64) -> Result<Applied, Illegal> {
        self.fact_of(id, task, Fact::Finished { claim, output: output(id, task) })
    }

    pub fn fail(&mut self, task: &Task, claim: u64, failure: Failure) -> Result<Applied, Illegal> {
        self.fact(task, Fact::Failed { claim, failure })
    }

    pub fn do_all(&mut self, tasks: &str) {
        for task in tasks.split(", ").map(task) {
            let claim = self.claim(&task);
            self.finish(&task, claim).unwrap();
        }
    }

    pub fn permission(&self, task: &Task, hint: u64) -> Permission {
        self.current().permission(task, hint, self.now)
    }

    /// What the worker may do that was handed a work message now.
    pub fn permission_of(&self, work: &Work, hint: u64) -> Permission {
        self.service.permission(work, hint, self.now)
    }

    /// The work message of the next attempt.
    pub fn work(&self, id: &DeploymentId, task: &Task) -> Work {
        let attempt = self.service.state(id, task).claims + 1;
        let protocol = self.service.deployment(id).map_or(PROTOCOL, |known| known.plan.protocol.max(OWES));
        Work { protocol, deployment: id.clone(), task: task.clone(), attempt }
    }

    /// What a worker may do that has read the journal up to now: claim the task, expecting the server's last claim.
    pub fn next_claim(&self, id: &DeploymentId, task: &Task) -> Permission {
        let expected = self.claims.get(&(id.clone(), task.clone())).copied().unwrap_or_default();
        Permission::Perform { expected, attempt: self.work(id, task).attempt }
    }

    /// The work that is due now, and when somebody should look again.
    pub fn effects(&self) -> (Vec<Work>, Option<Timestamp>) {
        let (mut work, mut wake) = (Vec::new(), None);
        for effect in self.service.effects(self.now) {
            match effect {
                Effect::Run(due) => work.push(due),
                Effect::Wake(at) => wake = Some(at),
                Effect::Snapshot => assert!(!self.service.snapshot_taken),
            }
        }
        (work, wake)
    }

    /// What is due, or how it ended and what is owed since, in one line: `…` while workers are at it.
    pub fn stands(&self) -> String {
        let current = self.current();
        let due: Vec<String> =
            current.due().into_iter().map(|due| self.at(name(&due.task), due.not_before)).collect();
        match current.outcome() {
            Some(outcome) => {
                assert!(self.service.running().is_none());
                let owed = self.owed();
                let ended = describe(outcome);
                if owed.is_empty() { ended.to_owned() } else { format!("{ended}; owed: {owed}") }
            }
            None if due.is_empty() => "…".to_owned(),
            None => due.join(", "),
        }
    }

    /// What is owed and waits for a worker, with its owner where that is not the last deployment.
    fn owed(&self) -> String {
        let idle = || self.service.obligations.iter().filter(|owed| !owed.state.is_open());
        // Whoever carries out the effects misses none of it.
        let (work, wake) = self.effects();
        let due: Vec<_> = idle().filter(|owed| owed.not_before() <= self.now).collect();
        assert!(due.iter().map(|owed| self.work(&owed.deployment, &owed.task)).eq(work));
        assert_eq!(idle().map(|owed| owed.not_before()).filter(|at| *at > self.now).min(), wake);
        let lines = idle().map(|owed| {
            let name = match owed.deployment == *self.current().id() {
                true => name(&owed.task),
                false => format!("{} of {}", name(&owed.task), number(&owed.deployment)),
            };
            self.at(name, owed.not_before())
        });
        let lines: Vec<String> = lines.collect();
        if lines.is_empty() && !self.service.obligations.is_empty() {
            return "…".to_owned();
        }
        lines.join(", ")
    }

    fn at(&self, what: String, time: Timestamp) -> String {
        match time.since(self.now) {
            wait if wait.is_zero() => what,
            wait => format!("{what} in {}", humantime::format_duration(wait)),
        }
    }

    /// The fold of all entries from the first one on.
    pub fn refold(&self) -> Service {
        self.fold_on(Service::default())
    }

    /// The fold of what came after it, from a snapshot that was written and is read back.
    pub fn fold_from(&self, snapshot: &Service) -> Service {
        let written = serde_json::to_vec(snapshot).unwrap();
        let read: Service = serde_json::from_slice(&written).unwrap();
        assert_eq!(read, *snapshot);
        self.fold_on(Service { snapshot_taken: true, ..read })
    }

    fn fold_on(&self, mut service: Service) -> Service {
        for entry in &self.entries {
            let _ = service.apply(entry);
        }
        service
    }
}

pub const fn describe(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Live => "live",
        Outcome::TakenBack => "taken back",
        Outcome::Failed => "failed",
        Outcome::Aborted => "aborted",
        Outcome::Degraded { live: true } => "degraded, live",
        Outcome::Degraded { live: false } => "degraded, not live",
    }
}

/// `ship a`: the stage and the host.
pub fn task(text: &str) -> Task {
    let (stage, host) = text.split_once(' ').map_or((text, None), |(stage, host)| (stage, Some(host)));
    Task { stage: stage.parse().unwrap(), host: host.map(host_name) }
}

pub fn name(task: &Task) -> String {
    task.host.as_ref().map_or_else(|| task.stage.to_string(), |host| format!("{} {host}", task.stage))
}

/// The number that a deployment was given.
pub fn number(id: &DeploymentId) -> u8 {
    id.as_str().parse().unwrap()
}

pub fn host_name(text: &str) -> HostName {
    text.parse().unwrap()
}

pub fn output(id: &DeploymentId, task: &Task) -> Output {
    let address = std::net::SocketAddr::from(([172, 17, 0, 2], 3000));
    match task.stage {
        Stage::Build => Output::Built {
            image: Digest::of(b"image"),
            bytes: 7,
            commit: None,
            provenance: None,
            sidecars: cutover_core::SidecarImages::new(),
        },
        Stage::Ship => Output::Shipped { sent: 7 },
        Stage::Expand => Output::Expanded { applied: vec!["1".into()], rehearsed: Vec::new() },
        Stage::Backfill => Output::Backfilled { rows: 7 },
        Stage::Contract => Output::Contracted { applied: Vec::new() },
        Stage::Boot => {
            let name = format!("hello-{}", number(id));
            Output::Booted { replicas: vec![Replica { name, address }] }
        }
        Stage::Probe => Output::Probed { asked: 3 },
        Stage::Switch => Output::Switched { previous: None },
        Stage::Canary => Output::Canaried { seen: Evidence { requests: 10, errors: 0 }, verdict: None },
        Stage::Soak => Output::Soaked(Evidence { requests: 100, errors: 0 }),
        Stage::Retire => Output::Retired { stopped: 1 },
        Stage::Cool => Output::Cooled { stopped: 1 },
        Stage::Restore => Output::Restored { serving: None },
        Stage::Discard => Output::Discarded { removed: 1 },
    }
}
