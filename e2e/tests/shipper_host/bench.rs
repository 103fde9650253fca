//! A Docker host, an artifact store, and deployments to run there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cutover_core::{
    ApplicationProtocol, Container, DeploymentId, Digest, Epoch, Failure, HostSpec, HttpCheck, Intent,
    JournalId, NeededSecret, PROTOCOL, Plan, ProbeSpec, Probes, Progress, Release, Replica, Resources,
    Routing, Sealed, ServiceKey, Settings, SidecarImages, Soak, Source, Span, Timeouts,
};
use cutover_e2e::{Host, dist};
use cutover_fleet::{Fleet, Machine, epoch_of, key_of};
use cutover_host::{Hosts, SshOptions};
use cutover_registry::Pace;
use cutover_seal::{Purpose, seal};
use cutover_secrets::{Secret, Stores, read};
use cutover_shipper::{Existing, Images, Origin};
use cutover_store::Store;
use nkeys::KeyPair;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// A Docker host and a store. Both are gone when this is dropped.
pub struct Bench {
    pub host: Host,
    pub machine: Machine,
    pub store: Store,
    pub progress: watch::Sender<Progress>,
    folder: TempDir,
    /// What values are sealed to, and the folder of its file.
    key: (KeyPair, TempDir),
}

impl Bench {
    /// For the test of this name.
    pub async fn up(test: &str) -> Self {
        Self::on(Host::up(&format!("{test}-{}", std::process::id())).unwrap()).await
    }

    /// For the test of this name, on a host with Docker 26 and one of its image stores.
    pub async fn up_with_docker_26(test: &str, containerd_store: bool) -> Self {
        let name = format!("{test}-{}", std::process::id());
        Self::on(Host::up_with_docker_26(&name, containerd_store).unwrap()).await
    }

    async fn on(host: Host) -> Self {
        let options =
            SshOptions { identities: vec![host.key.clone()], ..SshOptions::new(host.known_hosts.clone()) };
        let machine = Fleet::new(Hosts::new(options, "/var/run/docker.sock")).machine(&spec(&host));
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let (progress, _) = watch::channel(Progress::Bytes { done: 0, total: 0 });
        let key = (KeyPair::new_user(), TempDir::new().unwrap());
        Self { host, machine, store, progress, folder, key }
    }

    /// Where the store keeps its content.
    pub fn store_folder(&self) -> &Path {
        self.folder.path()
    }

    /// A deployment whose id ends with these six characters.
    pub fn plan(&self, end: &str, image: &Digest) -> Plan {
        let release = Release {
            version: end.to_owned(),
            source: Source::Image(format!("hello@{image}")),
            settings: settings(end),
            migrations: Vec::new(),
        };
        Plan {
            protocol: PROTOCOL,
            deployment: deployment(end),
            key: key(),
            by: "anna@laptop".to_owned(),
            untimely: false,
            sealed: Sealed::new(),
            intent: Intent::Deploy,
            stages: Plan::stages_for(&release, Some(image), &SidecarImages::new()),
            release,
            image: Some(image.clone()),
            sidecar_images: SidecarImages::new(),
            warm: None,
            replaces: None,
            hosts: vec![spec(&self.host)],
        }
    }

    /// Gives the plan what it needs of the values that are found here.
    pub async fn give_secrets(&self, plan: &mut Plan) {
        for NeededSecret { reference, reader, .. } in plan.release.settings.clone().needed_secrets() {
            let (value, purpose) =
                (read(reference).await.unwrap(), Purpose { service: &plan.key, reference });
            let sealed = seal(value.expose(), &self.key.0.public_key(), purpose).unwrap();
            plan.sealed.put(reference.clone(), reader, sealed);
        }
    }

    pub async fn ship(&self, plan: &Plan) -> Result<u64, Failure> {
        let image = plan.image.as_ref().unwrap();
        let (key, folder) = &self.key;
        let file = folder.path().join("shipper.key");
        std::fs::write(&file, format!("shipper {}\n", key.seed().unwrap())).unwrap();
        let file = Secret::new(file.display().to_string());
        let stores = Stores::with([("CUTOVER_SEALING_KEY".to_owned(), file)]);
        let origin = Origin::new(self.store.clone(), Pace::default(), stores);
        Ok(cutover_shipper::ship(
            &self.machine,
            &origin,
            plan,
            (image, &SidecarImages::new()),
            &self.progress,
        )
        .await?)
    }

    pub async fn boot(&self, plan: &Plan, claim: u64) -> Result<Vec<Replica>, Failure> {
        self.boot_in_round(plan, 0, claim).await
    }

    /// The same in a round that began at a sequence.
    pub async fn boot_in_round(
        &self,
        plan: &Plan,
        round_began: u64,
        claim: u64,
    ) -> Result<Vec<Replica>, Failure> {
        let image = plan.image.as_ref().unwrap();
        let existing = Existing { round_began, in_use: &[], shared: &[] };
        let (machine, progress) = (&self.machine, &self.progress);
        let images = Images { own: image, sidecars: &SidecarImages::new() };
        Ok(cutover_shipper::boot(machine, plan, images, &epoch(claim), existing, progress).await?)
    }

    pub async fn retire(&self, plan: &Plan, claim: u64, images: &[&Digest]) -> Result<u32, Failure> {
        self.retire_all_but(plan, claim, &[], images).await
    }

    /// The same where these deployments stay warm.
    pub async fn retire_sparing(
        &self,
        plan: &Plan,
        claim: u64,
        spared: &[&DeploymentId],
    ) -> Result<u32, Failure> {
        self.retire_all_but(plan, claim, spared, &[]).await
    }

    async fn retire_all_but(
        &self,
        plan: &Plan,
        claim: u64,
        spared: &[&DeploymentId],
        images: &[&Digest],
    ) -> Result<u32, Failure> {
        let (machine, epoch) = (&self.machine, &epoch(claim));
        let own = Images { own: plan.image.as_ref().unwrap(), sidecars: &SidecarImages::new() };
        Ok(cutover_shipper::retire(machine, plan, own, epoch, spared, images, &self.progress).await?)
    }

    pub async fn discard(&self, plan: &Plan, claim: u64) -> Result<u32, Failure> {
        Ok(cutover_shipper::discard(&self.machine, plan, &epoch(claim), &self.progress).await?)
    }

    /// What `docker` answers on the host, without the last line break.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let command: Vec<&str> = ["docker"].into_iter().chain(arguments.iter().copied()).collect();
        self.host.exec(&command).unwrap().trim_end().to_owned()
    }

    /// The names of all containers on the host.
    pub fn containers(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.docker(&["ps", "--all", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The names and digests of all images on the host.
    pub fn images(&self) -> String {
        self.docker(&["images", "--all", "--digests", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}"])
    }

    /// Starts the proxy on the host, as a process.
    pub async fn start_proxy(&self) {
        let proxy = dist().join("cutover-proxy").canonicalize().expect("scripts/build.sh must have run");
        let line = "mkdir -p /run/cutover /run/proxy && setsid \"$0\" serve --http 0.0.0.0:80 \
                    --control /run/cutover/control.sock --state /run/proxy >/run/proxy/log 2>&1 &";
        self.host.exec(&["sh", "-c", line, &proxy.to_string_lossy()]).unwrap();
        let answers = async {
            while self.machine.proxy().status().await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(10), answers).await.expect("the proxy does not answer");
    }

    /// Gives a deployment the traffic, as the switcher does.
    pub async fn switch(&self, plan: &Plan, claim: u64, replicas: &[Replica]) {
        self.try_switch(plan, claim, replicas).await.unwrap();
    }

    /// The same where the proxy may refuse.
    pub async fn try_switch(&self, plan: &Plan, claim: u64, replicas: &[Replica]) -> Result<(), Failure> {
        let target = |replica: &Replica| cutover_control::Target {
            replica: replica.name.clone(),
            address: replica.address,
        };
        let (key, claim, release) = (key_of(&plan.key), epoch_of(&epoch(claim)), plan.release.id());
        let targets = replicas.iter().map(target).collect();
        let switch = cutover_control::Switch {
            drain_ms: 10_000,
            ..cutover_control::Switch::new(key, claim, plan.deployment.as_str(), release.as_str(), targets)
        };
        Ok(self.machine.proxy().switch(switch).await.map(drop)?)
    }

    /// Waits until a replica answers.
    pub async fn ready(&self, address: SocketAddr) {
        let limit = Duration::from_secs(1);
        let answers = async {
            while !self
                .machine
                .ask(address, ApplicationProtocol::Http1, &HttpCheck::get("/up"), limit)
                .await
                .is_ok_and(|answer| answer.status.is_success())
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(10), answers).await.expect("the replica does not answer");
    }
}

pub fn key() -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() }
}

pub fn deployment(end: &str) -> DeploymentId {
    format!("01jd0000000000000000{end}").parse().unwrap()
}

fn epoch(claim: u64) -> Epoch {
    Epoch { journal: JournalId("e2e".to_owned()), sequence: claim }
}

fn spec(host: &Host) -> HostSpec {
    HostSpec { name: host.address.parse().unwrap(), port: 22, user: "root".to_owned(), host_key: None }
}

fn settings(version: &str) -> Settings {
    Settings {
        port: 3000,
        replicas: 2,
        command: Vec::new(),
        env: BTreeMap::from([("VERSION".to_owned(), version.to_owned())]),
        secrets: BTreeMap::new(),
        resources: Resources {
            memory: Some(64 << 20),
            milli_cpus: Some(500),
            pids: Some(64),
            ..Resources::default()
        },
        container: Container { read_only: true, ..Container::default() },
        readiness: ProbeSpec::http("/up"),
        probes: Probes::default(),
        proxy: Routing::default(),
        canary: cutover_core::Canary::default(),
        soak: Soak { time: Span::seconds(0), max_errors_per_mille: 50, min_requests: 20 },
        timeouts: Timeouts { drain: Span::seconds(10), stop: Span::seconds(5), ..Timeouts::default() },
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
