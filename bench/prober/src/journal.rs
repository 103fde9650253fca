//! A real server with a journal in which a service is live.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use cutover_bus::{Assignment, Bus, Copies, Journal, Performer, WorkerOptions, work};
use cutover_core::{
    Canary, Container, ContractTerms, Decision, Digest, Engine, Failure, HostSpec, Intent, Output, PROTOCOL,
    Plan, ProbeSpec, Probes, Program, Release, Replica, Resources, Routing, Sealed, ServiceKey, Settings,
    Soak, Source, Span, Stage, Timeouts,
};
use cutover_telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::place;

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(program);
        command.args(["--jetstream", "--addr", "127.0.0.1", "--port", &port.to_string(), "--store_dir"]);
        command.arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().context("no nats-server: run scripts/install.sh")?;
        Ok(Self { process, url: format!("nats://127.0.0.1:{port}") })
    }

    async fn bus(&self) -> anyhow::Result<Bus> {
        let mut tries = 0;
        loop {
            match Bus::connect(&self.url, "bench").await {
                Ok(bus) => return Ok(bus),
                Err(error) if tries == 100 => return Err(error.into()),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Makes a service live that has so many replicas on so many hosts. The programs' work is made up: there is nothing to ship.
    pub(crate) async fn deploy(
        &self,
        hosts: usize,
        replicas: usize,
        ports: (u16, u16),
    ) -> anyhow::Result<()> {
        let bus = self.bus().await?;
        bus.set_up(Copies::One).await?;
        let journal = bus.open().await?;
        let plan = plan(hosts, ports.0)?;
        let key = plan.key.clone();
        let (stop, mut crew) = (CancellationToken::new(), JoinSet::new());
        for program in [Program::Shipper, Program::Prober, Program::Switcher] {
            bus.make_consumers(&journal, program.stages()).await?;
            let options = WorkerOptions {
                program,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                name: "bench".to_owned(),
                slots: 4,
                at_point: None,
            };
            let work = work(
                journal.clone(),
                options,
                Pretence { replicas, port: ports.1 },
                Metrics::new()?,
                stop.clone(),
            );
            crew.spawn(work);
        }
        let mut log = journal.service(&key).await?;
        journal.decide(&mut log, Decision::Accepted(Box::new(plan))).await?;
        tokio::select! {
            live = live(&journal, &key) => live?,
            Some(ended) = crew.join_next() => ended?.context("a worker of the deployment")?,
        }
        stop.cancel();
        while let Some(ended) = crew.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn live(journal: &Journal, key: &ServiceKey) -> anyhow::Result<()> {
    let mut watch = journal.watch(key).await?;
    while watch.service().live().is_none() {
        watch.changed().await?;
    }
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says of every task that it is done.
struct Pretence {
    replicas: usize,
    port: u16,
}

impl Performer for Pretence {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        Ok(match assignment.task.stage {
            Stage::Ship => Output::Shipped { sent: 0 },
            Stage::Boot => {
                let hosts = &assignment.plan().hosts;
                let host = assignment.host()?;
                let index = hosts.iter().position(|other| other == host).unwrap_or_default();
                let own = (0..self.replicas).filter(|number| number % hosts.len() == index);
                let replica = |number| Replica {
                    name: format!("web-{number}"),
                    address: (place::replica(number), self.port).into(),
                };
                Output::Booted { replicas: own.map(replica).collect() }
            }
            Stage::Probe => Output::Probed { asked: 0 },
            Stage::Switch => Output::Switched { previous: None },
            Stage::Retire => Output::Retired { stopped: 0 },
            other => return Err(Failure::lasting(format!("{other} is not in the plan"))),
        })
    }
}

/// A service whose replicas are asked once a second whether they live.
fn plan(hosts: usize, port: u16) -> anyhow::Result<Plan> {
    // There is no Docker that could start one anew.
    let liveness = ProbeSpec { failures: Some(u32::MAX), ..ProbeSpec::http("/alive") };
    let settings = Settings {
        port: 3000,
        replicas: 1,
        command: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: ProbeSpec::http("/up"),
        probes: Probes { liveness: Some(liveness.into()), ..Probes::default() },
        proxy: Routing::default(),
        canary: Canary::default(),
        soak: Soak { time: Span::default(), max_errors_per_mille: 10, min_requests: 20 },
        timeouts: Timeouts::default(),
        repository: None,
        database: None,
        engine: Engine::default(),
        rails: None,
        contract: ContractTerms::default(),
        locks: cutover_core::LockTerms::default(),
        backfill: cutover_core::BackfillTerms::default(),
        rehearsal: None,
        via: cutover_core::Via::default(),
        roles: Vec::new(),
        models: Vec::new(),
        sidecars: Vec::new(),
        warm: Span::default(),
        retain: 1,
    };
    let release = Release {
        version: "v1".into(),
        source: Source::Image("hello".into()),
        settings,
        migrations: Vec::new(),
    };
    let image = Some(Digest::of(b"image"));
    let host = |number| {
        let name = place::host(number).to_string().parse()?;
        anyhow::Ok(HostSpec { name, port, user: "root".into(), host_key: None })
    };
    Ok(Plan {
        protocol: PROTOCOL,
        deployment: format!("{:0>26}", 1).parse()?,
        key: ServiceKey { destination: "production".parse()?, service: "hello".parse()? },
        by: "bench@here".into(),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        stages: Plan::stages_for(&release, image.as_ref(), &cutover_core::SidecarImages::new()),
        release,
        image,
        sidecar_images: cutover_core::SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: (0..hosts).map(host).collect::<anyhow::Result<_>>()?,
    })
}
