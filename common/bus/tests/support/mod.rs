//! Real nats-servers of a test's own, workers, and a release to deploy through them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod checker;
pub(crate) mod cluster;
pub(crate) mod crew;
pub(crate) mod leases;
pub(crate) mod node;
pub(crate) mod notes;
pub(crate) mod relay;
pub(crate) mod users;

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_bus::{Bus, Copies, DecideError, Journal};
use cutover_core::{
    Container, Decision, Deployment, HostSpec, Intent, PROTOCOL, Plan, ProbeSpec, Probes, Release, Resources,
    Routing, Sealed, Service, ServiceKey, Settings, Soak, Source, Span, Timeouts,
};
use node::Node;

/// One node, as the embedded default is.
pub(crate) struct Server {
    pub(crate) node: Node,
}

impl Server {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        let server = Self { node: Node::start("alone", None) };
        server.node.answers().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        self.node.url()
    }

    /// The journal, set up.
    pub(crate) async fn journal(&self) -> Journal {
        let bus = Bus::connect(&self.url(), "test").await.unwrap();
        bus.set_up(Copies::One).await.unwrap();
        bus.open().await.unwrap()
    }

    /// A connection of the test's own.
    pub(crate) async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.unwrap()
    }
}

/// Follows the service until `reached` says so of its deployment.
pub(crate) async fn until(journal: &Journal, reached: impl Fn(&Deployment) -> bool) -> Deployment {
    let service = until_service(journal, |service| service.current.as_ref().is_some_and(&reached)).await;
    service.current.unwrap()
}

/// Follows the service until `reached` says so.
pub(crate) async fn until_service(journal: &Journal, reached: impl Fn(&Service) -> bool) -> Service {
    let mut watch = journal.watch(&key()).await.unwrap();
    let wait = async {
        while !reached(watch.service()) {
            watch.changed().await.unwrap();
        }
    };
    let reached_it = tokio::time::timeout(Duration::from_secs(60), wait).await;
    reached_it.expect("not reached within a minute");
    watch.service().clone()
}

/// Asks again and again until something is there.
pub(crate) async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("not there within a minute")
}

/// Follows the service until its deployment has ended.
pub(crate) async fn ended(journal: &Journal) -> Deployment {
    until(journal, |current| current.outcome().is_some()).await
}

pub(crate) async fn deploy(journal: &Journal, n: u32, hosts: &[&str]) -> Result<(), DecideError> {
    let mut log = journal.service(&key()).await.unwrap();
    journal.decide(&mut log, Decision::Accepted(plan(n, hosts))).await
}

pub(crate) fn key() -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() }
}

/// A plan whose deployment id ends in `n`.
pub(crate) fn plan(n: u32, hosts: &[&str]) -> Box<Plan> {
    plan_of(key(), n, hosts)
}

/// A plan of any service.
pub(crate) fn plan_of(key: ServiceKey, n: u32, hosts: &[&str]) -> Box<Plan> {
    let release = Release {
        version: format!("v{n}"),
        source: Source::Image("hello".into()),
        settings: settings(),
        migrations: vec![],
    };
    Box::new(Plan {
        protocol: PROTOCOL,
        deployment: format!("{n:0>26}").parse().unwrap(),
        key,
        by: format!("tester{n}@here"),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        stages: Plan::stages_for(&release, None, &cutover_core::SidecarImages::new()),
        release,
        image: None,
        sidecar_images: cutover_core::SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: hosts
            .iter()
            .map(|name| HostSpec {
                name: name.parse().unwrap(),
                port: 22,
                user: "root".into(),
                host_key: None,
            })
            .collect(),
    })
}

fn settings() -> Settings {
    Settings {
        port: 80,
        replicas: 1,
        command: vec![],
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: ProbeSpec { timeout: Span::seconds(1), ..ProbeSpec::http("/up") },
        probes: Probes::default(),
        proxy: Routing::default(),
        canary: cutover_core::Canary::default(),
        soak: Soak { time: Span::seconds(1), max_errors_per_mille: 50, min_requests: 20 },
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
