//! A journal in memory, and workers that write to it: what the tests of the state machine stand on.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};

use cutover_core::{
    Applied, Claim, Decision, Deployment, DeploymentId, Digest, Entry, Event, Evidence, Fact, Failure,
    HostName, HostSpec, Illegal, Intent, Outcome, Output, PROTOCOL, Permission, Plan, Progress, Readiness,
    Release, Replica, Routing, Service, ServiceKey, Settings, Soak, Source, Span, Stage, Task, Timeouts,
    Timestamp,
};

/// The journal of one service, as the server keeps it, and the fold of all that is in it.
#[derive(Clone)]
pub struct Journal {
    pub service: Service,
    pub entries: Vec<Entry>,
    pub now: Timestamp,
    /// The sequence of the last claim on each claim subject, by the server's own count.
    pub claims: HashMap<(DeploymentId, Task), u64>,
    hints: u64,
}

impl Journal {
    pub fn new() -> Self {
        let (service, entries, claims) = (Service::default(), Vec::new(), HashMap::new());
        Self { service, entries, now: Timestamp(1_000_000), claims, hints: 0 }
    }

    /// A journal whose service runs the deployment of `plan`.
    pub fn with(plan: Plan) -> Self {
        let mut journal = Self::new();
        journal.decide(Decision::Accepted(Box::new(plan))).unwrap();
        journal
    }

    /// Appends an entry one second after the last one.
    pub fn append(&mut self, event: Event) -> Result<Applied, Illegal> {
        let sequence = self.sequence() + 1;
        self.now = self.now.after(std::time::Duration::from_secs(1));
        if let Event::Fact { deployment, task, fact: Fact::Claimed(_) } = &event {
            self.claims.insert((deployment.clone(), task.clone()), sequence);
        }
        let entry = Entry { sequence, at: self.now, event };
        self.entries.push(entry.clone());
        self.service.apply(&entry)
    }

    pub fn sequence(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.sequence)
    }

    pub fn decide(&mut self, decision: Decision) -> Result<Applied, Illegal> {
        self.append(Event::Decision(decision))
    }

    pub fn abort(&mut self) -> Result<Applied, Illegal> {
        let deployment = self.current().id().clone();
        self.decide(Decision::Aborted { deployment, by: "bea@desk".into() })
    }

    pub fn replay(&mut self, from: Option<Stage>) -> Result<Applied, Illegal> {
        let deployment = self.current().id().clone();
        self.decide(Decision::Replayed { deployment, by: "cem@desk".into(), from })
    }

    pub fn current(&self) -> &Deployment {
        self.service.current.as_ref().expect("a deployment")
    }

    pub fn fact(&mut self, task: &Task, fact: Fact) -> Result<Applied, Illegal> {
        let (deployment, task) = (self.current().id().clone(), task.clone());
        self.append(Event::Fact { deployment, task, fact })
    }

    /// A work message of its own.
    pub fn hint(&mut self) -> u64 {
        self.hints += 1;
        1_000_000 + self.hints
    }

    /// A claim by a worker that has read the journal up to now, for a new work message.
    pub fn claim(&mut self, task: &Task) -> u64 {
        let (decision, hint) = (self.service.last_decision, self.hint());
        self.claim_as(task, decision, hint)
    }

    /// A claim by a worker that has seen decisions up to `decision`, for the work message `hint`.
    pub fn claim_as(&mut self, task: &Task, decision: u64, hint: u64) -> u64 {
        let attempt = self.current().state(task).claims + 1;
        let claim = Claim { attempt, worker: format!("worker-{}", self.sequence()), decision, hint };
        let _ = self.fact(task, Fact::Claimed(claim));
        self.sequence()
    }

    pub fn progress(&mut self, task: &Task, claim: u64) -> Result<Applied, Illegal> {
        self.fact(task, Fact::Progressed { claim, progress: Progress::Bytes { done: 1, total: 2 } })
    }

    pub fn finish(&mut self, task: &Task, claim: u64) -> Result<Applied, Illegal> {
        self.fact(task, Fact::Finished { claim, output: output(task) })
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

    /// What is due, or how it ended, in one line: `…` while workers are at it.
    pub fn stands(&self) -> String {
        let current = self.current();
        let due: Vec<String> = current
            .due()
            .into_iter()
            .map(|due| match due.not_before.since(self.now) {
                wait if wait.is_zero() => name(&due.task),
                wait => format!("{} in {wait:?}", name(&due.task)),
            })
            .collect();
        match current.outcome() {
            Some(outcome) => {
                assert!(self.service.running().is_none());
                describe(outcome).to_owned()
            }
            None if due.is_empty() => "…".to_owned(),
            None => due.join(", "),
        }
    }

    /// The fold of all entries from the first one on.
    pub fn refold(&self) -> Service {
        let mut service = Service::default();
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

fn host_name(text: &str) -> HostName {
    text.parse().unwrap()
}

pub fn output(task: &Task) -> Output {
    let address = std::net::SocketAddr::from(([172, 17, 0, 2], 3000));
    match task.stage {
        Stage::Build => Output::Built { image: Digest::of(b"image"), bytes: 7 },
        Stage::Ship => Output::Shipped { sent: 7 },
        Stage::Expand => Output::Expanded { applied: vec!["1".into()] },
        Stage::Boot => Output::Booted { replicas: vec![Replica { name: "hello-1".into(), address }] },
        Stage::Probe => Output::Probed { asked: 3 },
        Stage::Switch => Output::Switched { previous: None },
        Stage::Soak => Output::Soaked(Evidence { requests: 100, errors: 0 }),
        Stage::Retire => Output::Retired { stopped: 1 },
        Stage::Restore => Output::Restored { serving: None },
        Stage::Discard => Output::Discarded { removed: 1 },
    }
}

/// A plan of every stage but expand, on these hosts. `number` tells deployments and releases apart.
pub fn plan(number: u8, hosts: &[&str]) -> Plan {
    let release = release(number);
    Plan {
        protocol: PROTOCOL,
        deployment: format!("{number:026}").parse().unwrap(),
        key: ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() },
        by: "ada@desk".into(),
        intent: Intent::Deploy,
        image: None,
        replaces: None,
        hosts: hosts
            .iter()
            .map(|host| HostSpec { name: host_name(host), port: 22, user: "root".into() })
            .collect(),
        stages: Plan::stages_for(&release, None),
        release,
    }
}

/// The plan of a rollback to the release of that number.
pub fn rollback(number: u8, release: u8, hosts: &[&str]) -> Plan {
    let release = self::release(release);
    let image = Some(Digest::of(b"image"));
    let stages = Plan::stages_for(&release, image.as_ref());
    Plan { intent: Intent::Rollback, image, release, stages, ..plan(number, hosts) }
}

pub fn release(number: u8) -> Release {
    let settings = Settings {
        port: 3000,
        replicas: 1,
        command: vec![],
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: cutover_core::Resources::default(),
        container: cutover_core::Container::default(),
        readiness: Readiness {
            path: "/up".into(),
            initial_delay: Span::seconds(0),
            period: Span::seconds(1),
            timeout: Span::seconds(5),
            successes: 1,
        },
        proxy: Routing { hosts: vec![], response_timeout: Span::seconds(30) },
        soak: Soak { time: Span::seconds(10), max_errors_per_mille: 50, min_requests: 20 },
        timeouts: Timeouts::default(),
        database: None,
        retain: 2,
    };
    Release {
        version: format!("v{number}"),
        source: Source::Image(format!("hello:{number}")),
        settings,
        migrations: vec![],
    }
}
