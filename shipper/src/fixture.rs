//! A deployment for tests, and what runs of it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use cutover_core::{
    Container, DeploymentId, Digest, Epoch, HostSpec, Intent, JournalId, PROTOCOL, Plan, ProbeSpec, Probes,
    Release, Resources, Routing, Sealed, ServiceKey, Settings, Soak, Source, Span, Stage, Timeouts,
};
use cutover_fleet::Labels;

/// `hello` in production.
pub(crate) fn key() -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() }
}

/// A claim in this journal.
pub(crate) fn epoch(journal: &str) -> Epoch {
    Epoch { journal: JournalId(journal.to_owned()), sequence: 7 }
}

/// A deployment whose id ends like this, in six characters.
pub(crate) fn deployment(end: &str) -> DeploymentId {
    format!("01jd0000000000000000{end}").parse().unwrap()
}

/// Settings without limits, hardening or environment.
pub(crate) fn settings() -> Settings {
    Settings {
        port: 3000,
        replicas: 2,
        command: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: ProbeSpec::http("/up"),
        probes: Probes::default(),
        proxy: Routing::default(),
        canary: cutover_core::Canary::default(),
        soak: Soak { time: Span::seconds(0), max_errors_per_mille: 50, min_requests: 20 },
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
    }
}

/// A plan for one host.
pub(crate) fn plan(deployment: DeploymentId, settings: Settings) -> Plan {
    let image = Digest::of(b"image");
    let release = Release {
        version: "v1".to_owned(),
        source: Source::Image("hello:v1".to_owned()),
        settings,
        migrations: Vec::new(),
    };
    Plan {
        protocol: PROTOCOL,
        deployment,
        key: key(),
        by: "anna@laptop".to_owned(),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        stages: Plan::stages_for(&release, Some(&image), &cutover_core::SidecarImages::new()),
        release,
        image: Some(image),
        sidecar_images: cutover_core::SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: vec![HostSpec {
            name: "198.18.0.2".parse().unwrap(),
            port: 22,
            user: "root".to_owned(),
            host_key: None,
        }],
    }
}

/// The running replica of that number of a deployment.
pub(crate) fn replica(deployment: &DeploymentId, number: u32, journal: &str) -> cutover_fleet::Container {
    let name = cutover_fleet::replica_name(&key(), deployment, number);
    cutover_fleet::Container {
        id: format!("id of {name}"),
        name,
        labels: Labels {
            key: key(),
            release: "0123456789ab".parse().unwrap(),
            role: "web".to_owned(),
            replica: number,
            deployment: deployment.clone(),
            epoch: epoch(journal),
        },
        running: true,
    }
}

#[test]
fn the_plan_is_one_that_the_state_machine_runs() {
    let plan = plan(deployment("aaaaaa"), settings());
    assert_eq!(plan.check(), Ok(()));
    assert!(plan.stages.contains(&Stage::Boot));
}
