//! Services for tests, made as the journal makes them: from one entry after the other.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use cutover_core::{
    Claim, Container, Decision, DeploymentId, Digest, Entry, Event, Fact, Failure, HostSpec, Intent,
    KeptRelease, MigrationFile, Output, PROTOCOL, Plan, ProbeSpec, Probes, Release, Replica, ReplicaSet,
    Resources, Routing, Sealed, Service, ServiceKey, Settings, Soak, Source, Span, Stage, Task, Timeouts,
    Timestamp,
};

/// A service, and the time that its journal has come to.
pub(crate) struct Transcript {
    pub(crate) service: Service,
    pub(crate) entries: Vec<Entry>,
    sequence: u64,
    now: u64,
}

/// A release of an image that exists.
pub(crate) fn release(version: &str) -> Release {
    let settings = Settings {
        port: 80,
        replicas: 1,
        command: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: ProbeSpec::http("/up"),
        probes: Probes::default(),
        proxy: Routing::default(),
        canary: cutover_core::Canary::default(),
        soak: Soak { time: Span::seconds(10), max_errors_per_mille: 50, min_requests: 20 },
        timeouts: Timeouts::default(),
        repository: None,
        database: None,
        rehearsal: None,
        via: cutover_core::Via::default(),
        engine: cutover_core::Engine::default(),
        rails: None,
        contract: cutover_core::ContractTerms::default(),
        locks: cutover_core::LockTerms::default(),
        backfill: cutover_core::BackfillTerms::default(),
        roles: Vec::new(),
        models: Vec::new(),
        sidecars: Vec::new(),
        warm: Span::default(),
        retain: 5,
    };
    let migration = MigrationFile::expand("1", "users", Digest::of(b"1"));
    Release {
        version: version.to_owned(),
        source: Source::Image(format!("hello@sha256:{}", Digest::of(version.as_bytes()).hex())),
        settings,
        migrations: vec![migration],
    }
}

/// `hello` in production.
pub(crate) fn key() -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() }
}

/// So many hosts.
pub(crate) fn hosts(number: u8) -> Vec<HostSpec> {
    let host = |number| HostSpec {
        name: format!("198.18.0.{number}").parse().unwrap(),
        port: 22,
        user: "root".to_owned(),
        host_key: None,
    };
    (2..2 + number).map(host).collect()
}

/// The task of a stage on the host of that number, from 0.
pub(crate) fn task(stage: Stage, host: u8) -> Task {
    let name = || format!("198.18.0.{}", host + 2).parse().unwrap();
    Task { stage, host: stage.per_host().then(name) }
}

/// What a task of a stage makes when all goes well.
pub(crate) fn output(stage: Stage) -> Output {
    match stage {
        Stage::Build => Output::Built {
            image: Digest::of(b"image"),
            bytes: 84_000_000,
            commit: None,
            provenance: None,
            sidecars: cutover_core::SidecarImages::new(),
        },
        Stage::Ship => Output::Shipped { sent: 3_149_000 },
        Stage::Expand => Output::Expanded { applied: vec!["1".to_owned()], rehearsed: Vec::new() },
        Stage::Backfill => Output::Backfilled { rows: 7 },
        Stage::Contract => Output::Contracted { applied: Vec::new() },
        Stage::Boot => Output::Booted { replicas: vec![replica()] },
        Stage::Probe => Output::Probed { asked: 3 },
        Stage::Switch => Output::Switched { previous: Some("old".to_owned()) },
        Stage::Canary => {
            Output::Canaried { seen: cutover_core::Evidence { requests: 212, errors: 0 }, verdict: None }
        }
        Stage::Soak => Output::Soaked(cutover_core::Evidence { requests: 5_012, errors: 1 }),
        Stage::Retire => Output::Retired { stopped: 1 },
        Stage::Cool => Output::Cooled { stopped: 1 },
        Stage::Restore => Output::Restored { serving: Some("old".to_owned()) },
        Stage::Discard => Output::Discarded { removed: 1 },
    }
}

fn replica() -> Replica {
    Replica { name: "hello-1".to_owned(), address: ([172, 17, 0, 2], 80).into() }
}

impl Transcript {
    /// A service whose release `v1` is live.
    pub(crate) fn with_live_v1() -> Self {
        let mut transcript = Self { service: Service::default(), entries: Vec::new(), sequence: 0, now: 0 };
        transcript.service.kept.push(KeptRelease {
            id: release("v1").id(),
            release: release("v1"),
            image: Digest::of(b"v1"),
            provenance: None,
            sidecar_images: cutover_core::SidecarImages::new(),
            sealed: Sealed::new(),
            deployment: "01jc0000000000000000000000".parse().unwrap(),
            since: Timestamp(0),
            replicas: Some(ReplicaSet {
                booted_by: "01jc0000000000000000000000".parse().unwrap(),
                hosts: hosts(2).into_iter().map(|host| (host.name, vec![replica()])).collect(),
            }),
            hosts: hosts(2),
            warm_until: None,
        });
        transcript.service.is_live = true;
        transcript.now = 1_000_000;
        transcript
    }

    /// The same once `v2` was accepted, to be built for so many hosts.
    pub(crate) fn deploying_v2(number: u8) -> Self {
        Self::deploying(release("v2").settings, number)
    }

    /// The same with these settings.
    pub(crate) fn deploying(settings: Settings, number: u8) -> Self {
        Self::deploying_release(Release { settings, ..release("v2") }, number)
    }

    /// The same with these migrations beside those of `v1`, on one host.
    pub(crate) fn migrating(migrations: Vec<MigrationFile>) -> Self {
        let mut release = release("v2");
        release.migrations.extend(migrations);
        Self::deploying_release(release, 1)
    }

    fn deploying_release(release: Release, number: u8) -> Self {
        let mut transcript = Self::with_live_v1();
        let plan = Plan {
            protocol: PROTOCOL,
            deployment: "01jc00000000000000000k3x9p".parse().unwrap(),
            key: key(),
            by: "anna@laptop".to_owned(),
            untimely: false,
            sealed: Sealed::new(),
            intent: Intent::Deploy,
            stages: Plan::stages_for(&release, None, &cutover_core::SidecarImages::new()),
            release,
            image: None,
            sidecar_images: cutover_core::SidecarImages::new(),
            warm: None,
            replaces: transcript.service.live().map(|live| live.id.clone()),
            hosts: hosts(number),
        };
        transcript.take_in(Event::Decision(Decision::Accepted(Box::new(plan))));
        transcript
    }

    /// Lets time pass.
    pub(crate) fn wait(mut self, millis: u64) -> Self {
        self.now += millis;
        self
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// The running deployment.
    pub(crate) fn deployment(&self) -> DeploymentId {
        self.service.current.as_ref().unwrap().id().clone()
    }

    pub(crate) fn decide(mut self, decision: Decision) -> Self {
        self.take_in(Event::Decision(decision));
        self
    }

    pub(crate) fn claim(mut self, task: &Task) -> Self {
        let state = self.service.state(&self.deployment(), task);
        let decision = self.service.last_decision;
        let worker = "worker@here".to_owned();
        self.fact(
            task,
            Fact::Claimed(Claim { attempt: state.claims + 1, worker, decision, hint: self.sequence }),
        );
        self
    }

    pub(crate) fn progress(mut self, task: &Task, progress: cutover_core::Progress) -> Self {
        let claim = self.claim_of(task);
        self.fact(task, Fact::Progressed { claim, progress });
        self
    }

    pub(crate) fn finish(mut self, task: &Task, output: Output) -> Self {
        let claim = self.claim_of(task);
        self.fact(task, Fact::Finished { claim, output });
        self
    }

    pub(crate) fn fail(mut self, task: &Task, failure: Failure) -> Self {
        let claim = self.claim_of(task);
        self.fact(task, Fact::Failed { claim, failure });
        self
    }

    /// Does a stage on all hosts, which takes so long.
    pub(crate) fn done(mut self, stage: Stage, millis: u64) -> Self {
        let tasks: Vec<Task> = self.service.current.as_ref().unwrap().plan.tasks_of(stage).collect();
        for task in &tasks {
            self = self.claim(task);
        }
        self = self.wait(millis);
        for task in &tasks {
            self = self.finish(task, output(stage));
        }
        self
    }

    /// Does the stages from the first to the last, 0.4 s each.
    pub(crate) fn through(mut self, from: Stage, to: Stage) -> Self {
        let stages = self.service.current.as_ref().unwrap().plan.stages.clone();
        for stage in stages.into_iter().filter(|stage| (from..=to).contains(stage)) {
            self = self.done(stage, 400);
        }
        self
    }

    fn claim_of(&self, task: &Task) -> u64 {
        self.service.state(&self.deployment(), task).last_claim
    }

    fn fact(&mut self, task: &Task, fact: Fact) {
        let deployment = self.deployment();
        self.take_in(Event::Fact { deployment, task: task.clone(), fact });
    }

    fn take_in(&mut self, event: Event) {
        self.sequence += 1;
        let entry = Entry { sequence: self.sequence, at: Timestamp(self.now), event };
        self.service.apply(&entry).unwrap();
        self.entries.push(entry);
    }
}
