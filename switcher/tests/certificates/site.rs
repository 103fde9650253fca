//! A service that is deployed with a certificate that is ordered: the journal, the workers, the duty.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cutover_bus::{Assignment, Performer, WorkerOptions, hold, work};
use cutover_core::{
    Acme, CertificateNote, CertificateSource, Container, Decision, Deployment, Digest, Duty, Evidence,
    Failure, HostSpec, Intent, NeededSecret, Output, PROTOCOL, Plan, ProbeSpec, Probes, Program, Proof,
    Release, Replica, Resources, Routing, Sealed, Settings, Soak, Source, Span, Stage, Timeouts, Tls,
};
use cutover_fleet::Fleet;
use cutover_host::{Hosts, SshOptions};
use cutover_seal::{Purpose, seal};
use cutover_secrets::{Secret, Stores, read};
use cutover_switcher::{Certificates, Switcher};
use cutover_telemetry::Metrics;
use nkeys::KeyPair;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fleet::{Host, application};
use crate::server::{Nats, Pebble};
use crate::{eventually, key};

/// All that it takes to deploy, and what orders certificates.
pub(crate) struct Site {
    pub(crate) pebble: Pebble,
    pub(crate) fleet: Fleet,
    nats: Nats,
    /// What values are sealed to.
    key: KeyPair,
    _keys: TempDir,
    _stop: DropGuard,
}

impl Site {
    /// With an authority whose certificates are valid for so many seconds.
    pub(crate) async fn start(validity: u32) -> Self {
        let (nats, pebble) = (Nats::start().await, Pebble::start(validity).await);
        let fleet = Fleet::new(Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent"));
        let (stop, app) = (CancellationToken::new(), application().await);
        let (key, keys) = (KeyPair::new_user(), tempfile::tempdir().unwrap());
        let file = keys.path().join("switcher.key");
        std::fs::write(&file, format!("switcher {}\n", key.seed().unwrap())).unwrap();
        let stores =
            Stores::with([("CUTOVER_SEALING_KEY".to_owned(), Secret::new(file.display().to_string()))]);
        for program in Program::ALL {
            let options = WorkerOptions {
                program,
                version: "0.0.1".into(),
                name: "test".into(),
                slots: 2,
                at_point: None,
            };
            let stages = Stages { switcher: Switcher::new(fleet.clone(), stores.clone()), app };
            let metrics = Metrics::new().unwrap();
            let (journal, stop) = (nats.journal().await, stop.clone());
            tokio::spawn(async move { work(journal, options, stages, metrics, stop).await.unwrap() });
        }
        let site = Self { pebble, fleet, nats, key, _keys: keys, _stop: stop.clone().drop_guard() };
        site.look_after_certificates(stop).await;
        site
    }

    /// The duty, in a program that knows nothing yet.
    async fn look_after_certificates(&self, stop: CancellationToken) {
        let certificates = Certificates::new(self.fleet.clone(), Some(self.pebble.root()));
        let journal = self.nats.journal().await;
        tokio::spawn(async move { hold(journal, "test", certificates, stop).await.unwrap() });
    }

    /// A host, at an address of the loopback.
    pub(crate) async fn host(&self, address: &str) -> Host {
        Host::start(address, &self.pebble, &self.fleet).await
    }

    /// A certificate that is ordered from the authority.
    pub(crate) fn ordered(&self, proof: Proof) -> CertificateSource {
        let (directory, email) = (self.pebble.directory(), Some("ops@a.test".into()));
        CertificateSource::Acme(Acme { directory, email, proof })
    }

    /// Decides on the deployment of that number.
    pub(crate) async fn deploy(
        &self,
        n: u32,
        names: &[&str],
        hosts: &[&Host],
        certificate: CertificateSource,
    ) {
        let journal = self.nats.journal().await;
        let mut log = journal.service(&key()).await.unwrap();
        let hosts = hosts.iter().map(|host| host.spec.clone()).collect();
        let mut plan = Box::new(plan(n, names, hosts, certificate));
        let mut sealed = Sealed::new();
        for NeededSecret { reference, reader, .. } in plan.release.settings.needed_secrets() {
            let (value, purpose) =
                (read(reference).await.unwrap(), Purpose { service: &plan.key, reference });
            sealed.put(
                reference.clone(),
                reader,
                seal(value.expose(), &self.key.public_key(), purpose).unwrap(),
            );
        }
        plan.sealed = sealed;
        journal.decide(&mut log, Decision::Accepted(plan)).await.unwrap();
    }

    /// Waits until the deployment of that number has ended.
    pub(crate) async fn ended(&self, n: u32) -> Deployment {
        let (journal, id) = (self.nats.journal().await, id(n));
        eventually(async || {
            let current = journal.service(&key()).await.unwrap().service().current.clone()?;
            (current.id().as_str() == id && current.outcome().is_some()).then_some(current)
        })
        .await
    }

    /// What is noted of the certificate.
    pub(crate) async fn note(&self) -> Option<CertificateNote> {
        self.nats.journal().await.note(Duty::Certificates, &key()).await.unwrap()
    }
}

/// Does every stage at once, but for those of the switcher, which does them.
struct Stages {
    switcher: Switcher,
    app: SocketAddr,
}

impl Performer for Stages {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        Ok(match assignment.task.stage {
            Stage::Switch | Stage::Restore => return self.switcher.perform(assignment).await,
            Stage::Build => Output::Built {
                image: Digest::of(b"image"),
                bytes: 1,
                commit: None,
                provenance: None,
                sidecars: cutover_core::SidecarImages::new(),
            },
            Stage::Ship => Output::Shipped { sent: 1 },
            Stage::Expand => Output::Expanded { applied: Vec::new(), rehearsed: Vec::new() },
            Stage::Backfill => Output::Backfilled { rows: 7 },
            Stage::Contract => Output::Contracted { applied: Vec::new() },
            Stage::Boot => Output::Booted {
                replicas: vec![Replica {
                    name: format!("shop-{}", assignment.epoch.sequence),
                    address: self.app,
                }],
            },
            Stage::Probe => Output::Probed { asked: 1 },
            Stage::Canary => Output::Canaried { seen: Evidence::default(), verdict: None },
            Stage::Soak => Output::Soaked(Evidence::default()),
            Stage::Retire => Output::Retired { stopped: 0 },
            Stage::Cool => Output::Cooled { stopped: 0 },
            Stage::Discard => Output::Discarded { removed: 1 },
        })
    }
}

fn id(n: u32) -> String {
    format!("{n:0>26}")
}

fn plan(n: u32, names: &[&str], hosts: Vec<HostSpec>, certificate: CertificateSource) -> Plan {
    let tls = Tls { certificate, redirect: true, hsts: Span::default() };
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
        proxy: Routing {
            hosts: names.iter().map(ToString::to_string).collect(),
            tls: Some(tls),
            ..Routing::default()
        },
        canary: cutover_core::Canary::default(),
        soak: Soak { time: Span::default(), max_errors_per_mille: 50, min_requests: 20 },
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
    let release = Release {
        version: format!("v{n}"),
        source: Source::Image("shop".into()),
        settings,
        migrations: Vec::new(),
    };
    Plan {
        protocol: PROTOCOL,
        deployment: id(n).parse().unwrap(),
        key: key(),
        by: "tester@here".into(),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        stages: Plan::stages_for(&release, None, &cutover_core::SidecarImages::new()),
        release,
        image: None,
        sidecar_images: cutover_core::SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts,
    }
}
