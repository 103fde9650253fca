//! Plans and releases for tests. Numbers tell them apart.

use std::collections::BTreeMap;

use cutover_core::{
    DeploymentId, Digest, HostName, HostSpec, Intent, KeptRelease, PROTOCOL, Plan, ProbeSpec, Probes,
    Release, Routing, Sealed, ServiceKey, Settings, Soak, Source, Span, Timeouts,
};

/// A plan of every stage but expand, on these hosts. `number` tells deployments and releases apart.
pub fn plan(number: u8, hosts: &[&str]) -> Plan {
    let release = release(number);
    Plan {
        protocol: PROTOCOL,
        deployment: id(number),
        key: ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() },
        by: "ada@desk".into(),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        image: None,
        sidecar_images: cutover_core::SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: hosts
            .iter()
            .map(|host| HostSpec {
                name: super::host_name(host),
                port: 22,
                user: "root".into(),
                host_key: None,
            })
            .collect(),
        stages: Plan::stages_for(&release, None, &cutover_core::SidecarImages::new()),
        release,
    }
}

/// The plan of a rollback to the release of that number.
pub fn rollback(number: u8, release: u8, hosts: &[&str]) -> Plan {
    let release = self::release(release);
    let image = Some(Digest::of(b"image"));
    let stages = Plan::stages_for(&release, image.as_ref(), &cutover_core::SidecarImages::new());
    Plan { intent: Intent::Rollback, image, release, stages, ..plan(number, hosts) }
}

/// The plan of a rollback to a kept release whose replicas are said to be warm, on the hosts that they are on.
pub fn warm_rollback(number: u8, kept: &KeptRelease) -> Plan {
    let replicas = kept.replicas.as_ref().unwrap();
    let hosts: Vec<&str> = replicas.hosts.keys().map(HostName::as_str).collect();
    Plan {
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Rollback,
        image: Some(kept.image.clone()),
        warm: Some(replicas.clone()),
        release: kept.release.clone(),
        stages: Plan::WARM.to_vec(),
        ..plan(number, &hosts)
    }
}

/// The same plan, for a release that keeps what it replaces warm for so long.
pub fn keeping_warm(mut plan: Plan, time: Span) -> Plan {
    plan.release.settings.warm = time;
    plan
}

pub fn id(number: u8) -> DeploymentId {
    format!("{number:026}").parse().unwrap()
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
        retain: 2,
    };
    Release {
        version: format!("v{number}"),
        source: Source::Image(format!("hello:{number}")),
        settings,
        migrations: vec![],
    }
}
