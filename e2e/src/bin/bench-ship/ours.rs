//! Cutover's own way: the builder's export into an artifact store, and the shipper's ship stage.

use anyhow::Context;
use cutover_builder::{Engine, Limits};
use cutover_core::{
    DeployFile, Digest, HostSpec, Intent, PROTOCOL, Plan, Progress, Release, Sealed, SidecarImages, Source,
};
use cutover_e2e::Host;
use cutover_fleet::{Fleet, Machine};
use cutover_host::{Hosts, SshOptions};
use cutover_registry::Pace;
use cutover_secrets::Stores;
use cutover_shipper::{Origin, ship};
use cutover_store::Store;
use futures_util::future::try_join_all;
use tempfile::TempDir;
use tokio::sync::watch;

/// What the ship stage reads of it is its time limit, and the service's name.
const DEPLOY_FILE: &str = "service: bench\nimage: bench\ndestinations: {production: {hosts: [bench]}}\n";

/// An artifact store between this machine's Docker Engine and the hosts.
pub(crate) struct Ours {
    engine: Engine,
    origin: Origin,
    machines: Vec<(HostSpec, Machine)>,
    exported: Option<Digest>,
    _folder: TempDir,
}

impl Ours {
    pub(crate) async fn new(hosts: &[Host]) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let store = Store::open(folder.path()).await?;
        // No host is reached over SSH here.
        let this_machine = Hosts::new(SshOptions::new("/dev/null"), Hosts::DOCKER_SOCKET).local();
        let engine = Engine::connect(this_machine, store.clone(), Limits::default()).await?;
        let origin = Origin::new(store, Pace::default(), Stores::from_environment());
        let machines: Vec<_> = hosts.iter().map(machine).collect::<anyhow::Result<_>>()?;
        for (_, machine) in &machines {
            machine.docker().await?.ping().await?;
        }
        Ok(Self { engine, origin, machines, exported: None, _folder: folder })
    }

    pub(crate) async fn export(&mut self, image: &str) -> anyhow::Result<()> {
        let id = self.engine.existing(image).await?;
        self.exported = Some(self.engine.export(&id, "bench-ship").await?.manifest);
        Ok(())
    }

    pub(crate) async fn ship(&self) -> anyhow::Result<()> {
        let image = self.exported.as_ref().context("nothing was exported")?;
        try_join_all(self.machines.iter().map(async |(host, machine)| {
            let (progress, _) = watch::channel(Progress::Bytes { done: 0, total: 0 });
            ship(machine, &self.origin, &plan(image, host)?, (image, &SidecarImages::new()), &progress)
                .await?;
            anyhow::Ok(())
        }))
        .await
        .map(drop)
    }
}

/// The host as the shipper reaches it.
pub(crate) fn machine(host: &Host) -> anyhow::Result<(HostSpec, Machine)> {
    let spec = HostSpec { name: host.address.parse()?, port: 22, user: "root".to_owned(), host_key: None };
    let options =
        SshOptions { identities: vec![host.key.clone()], ..SshOptions::new(host.known_hosts.clone()) };
    let machine = Fleet::new(Hosts::new(options, Hosts::DOCKER_SOCKET)).machine(&spec);
    Ok((spec, machine))
}

/// A deployment of that image to a host.
pub(crate) fn plan(image: &Digest, host: &HostSpec) -> anyhow::Result<Plan> {
    let target = DeployFile::parse(DEPLOY_FILE, "cutover.yaml")?.destination(None)?;
    let release = Release {
        version: "bench".to_owned(),
        source: Source::Image(format!("bench@{image}")),
        settings: target.settings,
        migrations: Vec::new(),
    };
    Ok(Plan {
        protocol: PROTOCOL,
        deployment: "01jd0000000000000000bench0".parse()?,
        key: target.key,
        by: "bench".to_owned(),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        stages: Plan::stages_for(&release, Some(image), &SidecarImages::new()),
        release,
        image: Some(image.clone()),
        sidecar_images: SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: vec![host.clone()],
    })
}
