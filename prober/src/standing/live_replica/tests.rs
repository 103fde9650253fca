#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use cutover_core::{
    Canary, Claim, Container, Decision, Digest, Engine, Entry, Event, Evidence, Fact, Intent, Output,
    PROTOCOL, Plan, Probes, Release, Resources, Routing, Sealed, ServiceKey, Soak, Source, Timeouts,
    Timestamp,
};

use super::*;

const HOSTS: [&str; 2] = ["a.example", "b.example"];

fn settings(liveness: Option<ProbeSpec>) -> Settings {
    Settings {
        port: 8080,
        replicas: 1,
        command: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: ProbeSpec { failures: Some(9), ..ProbeSpec::http("/up") },
        probes: Probes { liveness: liveness.map(Box::new), ..Probes::default() },
        proxy: Routing::default(),
        canary: Canary::default(),
        soak: Soak { time: Span::default(), max_errors_per_mille: 10, min_requests: 20 },
        timeouts: Timeouts::default(),
        repository: None,
        database: None,
        rehearsal: None,
        via: cutover_core::Via::default(),
        engine: Engine::default(),
        rails: None,
        contract: cutover_core::ContractTerms::default(),
        locks: cutover_core::LockTerms::default(),
        backfill: cutover_core::BackfillTerms::default(),
        roles: Vec::new(),
        models: Vec::new(),
        sidecars: Vec::new(),
        warm: Span::seconds(600),
        retain: 3,
    }
}

/// A deployment of that number onto both hosts.
fn plan(n: u32) -> Plan {
    let source = Source::Image(format!("shop:{n}"));
    let release =
        Release { version: format!("v{n}"), source, settings: settings(None), migrations: Vec::new() };
    let host =
        |name: &str| HostSpec { name: name.parse().unwrap(), port: 22, user: "root".into(), host_key: None };
    Plan {
        protocol: PROTOCOL,
        deployment: format!("{n:0>26}").parse().unwrap(),
        key: ServiceKey { destination: "production".parse().unwrap(), service: "shop".parse().unwrap() },
        by: "ann@laptop".into(),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        image: Some(Digest::of(b"image")),
        sidecar_images: cutover_core::SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: HOSTS.map(host).into(),
        stages: Plan::stages_for(&release, Some(&Digest::of(b"image")), &cutover_core::SidecarImages::new()),
        release,
    }
}

fn add(service: &mut Service, event: Event) {
    let sequence = service.sequence + 1;
    service.apply(&Entry { sequence, at: Timestamp(sequence * 1000), event }).unwrap();
}

fn claim(service: &mut Service, task: &Task) {
    let deployment = service.current.as_ref().unwrap().id().clone();
    let claim = Claim { attempt: 1, worker: "w".into(), decision: service.last_decision, hint: 1 };
    add(service, Event::Fact { deployment, task: task.clone(), fact: Fact::Claimed(claim) });
}

/// Every task of a stage is done.
fn finish(service: &mut Service, stage: Stage) {
    let plan = service.current.as_ref().unwrap().plan.clone();
    for task in plan.tasks_of(stage) {
        claim(service, &task);
        let name = task.host.as_ref().map(ToString::to_string).unwrap_or_default();
        let replica = Replica {
            name: format!("{}-{name}", plan.release.version),
            address: ([10, 0, 0, 1], 8080).into(),
        };
        let output = match stage {
            Stage::Ship => Output::Shipped { sent: 1 },
            Stage::Boot => Output::Booted { replicas: vec![replica] },
            Stage::Probe => Output::Probed { asked: 1 },
            Stage::Switch => Output::Switched { previous: None },
            Stage::Soak => Output::Soaked(Evidence::default()),
            Stage::Retire => Output::Retired { stopped: 0 },
            other => panic!("{other} is not in the plan"),
        };
        let (claim, deployment) = (service.sequence, plan.deployment.clone());
        add(service, Event::Fact { deployment, task, fact: Fact::Finished { claim, output } });
    }
}

fn deploy(service: &mut Service, plan: Plan) {
    let stages = plan.stages.clone();
    add(service, Event::Decision(Decision::Accepted(Box::new(plan))));
    stages.into_iter().filter(|stage| *stage != Stage::Retire).for_each(|stage| finish(service, stage));
}

fn names(service: &Service) -> Vec<String> {
    LiveReplica::of(&plan(1).key, service).into_iter().map(|live| live.replica.name).collect()
}

#[test]
fn what_is_live_is_watched_until_it_ends_host_by_host() {
    let mut service = Service::default();
    assert!(names(&service).is_empty());
    deploy(&mut service, plan(1));
    assert!(names(&service).is_empty(), "its soak is the deployment's");
    finish(&mut service, Stage::Retire);
    assert_eq!(names(&service), ["v1-a.example", "v1-b.example"]);

    deploy(&mut service, plan(2));
    assert_eq!(names(&service), ["v1-a.example", "v1-b.example"]);
    claim(&mut service, &Task { stage: Stage::Retire, host: Some(HOSTS[1].parse().unwrap()) });
    assert_eq!(names(&service), ["v1-a.example", "v2-b.example"]);
    let claim = service.sequence;
    let (deployment, task) = (
        service.current.as_ref().unwrap().id().clone(),
        Task { stage: Stage::Retire, host: Some(HOSTS[1].parse().unwrap()) },
    );
    let fact = Fact::Finished { claim, output: Output::Retired { stopped: 1 } };
    add(&mut service, Event::Fact { deployment, task, fact });
    let a = Task { stage: Stage::Retire, host: Some(HOSTS[0].parse().unwrap()) };
    self::claim(&mut service, &a);
    let during = LiveReplica::of(&plan(1).key, &service);
    let (claim, deployment) = (service.sequence, service.current.as_ref().unwrap().id().clone());
    let fact = Fact::Finished { claim, output: Output::Retired { stopped: 1 } };
    add(&mut service, Event::Fact { deployment, task: a, fact });
    assert!(service.running().is_none());
    assert_eq!(names(&service), ["v2-a.example", "v2-b.example"]);
    assert_eq!(
        LiveReplica::of(&plan(1).key, &service),
        during,
        "the end of the deployment begins nothing anew"
    );
}

#[test]
fn replicas_that_were_gone_back_to_carry_the_id_of_those_who_booted_them() {
    let mut service = Service::default();
    for n in 1..=2 {
        deploy(&mut service, plan(n));
        finish(&mut service, Stage::Retire);
    }
    let warm = service.kept[1].replicas.clone();
    assert!(warm.is_some());
    deploy(&mut service, Plan { warm, stages: Plan::WARM.to_vec(), release: plan(1).release, ..plan(3) });
    finish(&mut service, Stage::Retire);
    assert_eq!(names(&service), ["v1-a.example", "v1-b.example"]);
    assert!(LiveReplica::of(&plan(1).key, &service).iter().all(|live| live.deployment == plan(1).deployment));
}

#[test]
fn without_a_liveness_probe_replicas_are_observed_and_nothing_comes_of_it() {
    let observed = Terms::of(&settings(None)).probe;
    assert_eq!((observed.check, observed.failures), (ProbeSpec::http("/up").check, None));
    assert_eq!(observed.period, OBSERVED_EVERY);
    let alive = ProbeSpec { failures: Some(3), ..ProbeSpec::http("/alive") };
    assert_eq!(Terms::of(&settings(Some(alive.clone()))).probe, alive);
}
