//! Measuring whole commands.

use std::cell::Cell;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use cutover_core::{Deployment, ServiceKey, Stage, Status, Task, Timestamp};
use cutover_e2e::{App, ControlPlane, Host, Load, LoadPlan, ObjectStore, Project, StageSeconds};

use crate::row::{Row, median};

/// An application that is deployed again and again, each time with another setting.
pub(crate) struct Bench<'a> {
    plane: &'a ControlPlane,
    project: &'a Project,
    host: &'a Host,
    hosts: Vec<String>,
    service: &'static str,
    replicas: u32,
    warm: Option<&'static str>,
    /// What alone is another from version to version, where it isn't a setting.
    model: Option<Model<'a>>,
    /// Versions that were deployed: each has a name of its own.
    versions: Cell<usize>,
}

/// A model in a bucket, of [`LENGTH`] bytes that can't be compressed.
#[derive(Clone, Copy)]
pub(crate) struct Model<'a> {
    pub(crate) bucket: &'a ObjectStore,
    /// How many bytes of it are others in each version: its end.
    pub(crate) changed: usize,
}

/// The length of a model, in bytes: as of a small one for embeddings.
const LENGTH: usize = 90_000_000;

/// What one command took.
pub(crate) struct Run {
    pub(crate) command: Duration,
    switched: Option<Duration>,
    first_answer: Option<Duration>,
    seconds: StageSeconds,
}

impl<'a> Bench<'a> {
    /// Sets the hosts up and makes a first release of `service` live, which builds and ships the image.
    pub(crate) fn new(
        plane: &'a ControlPlane,
        project: &'a Project,
        host: &'a Host,
        hosts: Vec<String>,
        service: &'static str,
    ) -> anyhow::Result<Self> {
        let versions = Cell::default();
        let bench =
            Self { plane, project, host, hosts, service, replicas: 1, warm: None, model: None, versions };
        let version = bench.next_version()?;
        bench.command(&["setup"])?;
        bench.command(&["deploy", "--version", &version])?;
        Ok(bench)
    }

    /// The same with so many replicas on each host.
    pub(crate) fn replicas(&self, replicas: u32) -> Self {
        Self { replicas, versions: self.versions.clone(), hosts: self.hosts.clone(), ..*self }
    }

    /// The same where what is replaced stays warm.
    pub(crate) fn warm(&self) -> Self {
        Self { warm: Some("10m"), versions: self.versions.clone(), hosts: self.hosts.clone(), ..*self }
    }

    /// The same where a model alone changes.
    pub(crate) fn model(&self, model: Model<'a>) -> Self {
        Self { model: Some(model), versions: self.versions.clone(), hosts: self.hosts.clone(), ..*self }
    }

    /// Deploys so many versions, each with the same image and another setting.
    pub(crate) async fn deploys(&self, name: &'static str, runs: usize) -> anyhow::Result<Row> {
        let mut all = Vec::new();
        for _ in 0..runs {
            all.push(self.deploy().await?);
        }
        Ok(row(name, &all))
    }

    /// Deploys one more version.
    pub(crate) async fn deploy(&self) -> anyhow::Result<Run> {
        let version = self.next_version()?;
        self.run(&["deploy", "--version", &version], &version).await
    }

    /// Deploys two versions, and goes back and forth between them.
    pub(crate) async fn rollbacks(&self, name: &'static str, runs: usize) -> anyhow::Result<Row> {
        let mut versions = Vec::new();
        for _ in 0..2 {
            let version = self.next_version()?;
            self.command(&["deploy", "--version", &version])?;
            versions.push(version);
        }
        let mut all = Vec::new();
        for version in versions.iter().cycle().take(runs) {
            all.push(self.run(&["rollback"], version).await?);
        }
        Ok(row(name, &all))
    }

    /// Writes the next version into the deploy file.
    fn next_version(&self) -> anyhow::Result<String> {
        let number = self.versions.get() + 1;
        self.versions.set(number);
        // The name is of this control plane's service, whichever bench of it deploys.
        let kind = self.warm.map_or("", |_| "-warm");
        let version = format!("{}x{}{kind}-{number}", self.hosts.len(), self.replicas);
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        let service = self.service;
        let mut app =
            App { service, soak: "0s", replicas: self.replicas, warm: self.warm, ..App::new("v1", &hosts) };
        app.proxy = Some(format!("{{host: {}}}", self.host_name()));
        if let Some(model) = self.model {
            self.project.write(&app)?;
            model.write(self.project, number)?;
        } else {
            app.env = vec![("RELEASE", version.clone()), ("VERSION", version.clone())];
            self.project.write(&app)?;
        }
        Ok(version)
    }

    /// The host name that its requests ask for.
    fn host_name(&self) -> String {
        format!("{}.example", self.service)
    }

    fn key(&self) -> anyhow::Result<ServiceKey> {
        Ok(ServiceKey { service: self.service.parse()?, ..ControlPlane::key()? })
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let ended = self.plane.run(self.project.folder(), arguments)?;
        ensure!(ended.code == Some(0), "cutover {}: {}{}", arguments.join(" "), ended.out, ended.err);
        Ok(())
    }

    async fn run(&self, arguments: &[&str], version: &str) -> anyhow::Result<Run> {
        let plan = LoadPlan { rate: 200, ..LoadPlan::new(self.host.http()?, self.host_name()) };
        let load = Load::start(plan);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (begun, clock) = (Instant::now(), now()?);
        self.command(arguments)?;
        let command = begun.elapsed();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let report = load.stop().await;
        ensure!(report.failed.is_empty(), "requests failed: {:?}", report.failed.first());
        let first_answer = report.first_answer_of(version).map(|at| at.into_std().duration_since(begun));
        let log = self.plane.journal().await?.service(&self.key()?).await?;
        let deployment = log.service().current.clone().context("there was no deployment")?;
        let switched = last_switch(&deployment).map(|at| at.since(clock));
        Ok(Run { command, switched, first_answer, seconds: StageSeconds::of(&deployment) })
    }
}

impl Model<'_> {
    /// Puts its next version into the bucket, and its name into the deploy file.
    fn write(self, project: &Project, number: usize) -> anyhow::Result<()> {
        const OBJECT: &str = "models/bench/model.bin";
        let (mut same, mut other) = (fastrand::Rng::with_seed(0), fastrand::Rng::with_seed(number as u64));
        let mut content = vec![0; LENGTH];
        let (kept, changed) = content.split_at_mut(LENGTH - self.changed.min(LENGTH));
        same.fill(kept);
        other.fill(changed);
        self.bucket.put(OBJECT, &content)?;
        let file = project.deploy_file();
        let text = fs::read_to_string(&file)?;
        let source = self.bucket.source("models/bench");
        fs::write(file, format!("{text}models: {{bench: {{source: \"{source}\"}}}}\n"))?;
        Ok(())
    }
}

/// When the last proxy had switched, by the clock of the journal's server, which is this machine's.
fn last_switch(deployment: &Deployment) -> Option<Timestamp> {
    let ended = |task: Task| match deployment.state(&task).status {
        Status::Finished { at, .. } => Some(at),
        _ => None,
    };
    deployment.plan.tasks_of(Stage::Switch).filter_map(ended).max()
}

fn now() -> anyhow::Result<Timestamp> {
    Ok(Timestamp::default().after(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?))
}

/// Gives a host back: no proxy, no replicas, no record.
pub(crate) fn reset(host: &Host) -> anyhow::Result<()> {
    host.exec(&["sh", "-c", "docker rm -f $(docker ps -aq) && docker volume rm cutover-proxy"]).map(drop)
}

/// The medians of these runs.
pub(crate) fn row(name: &'static str, runs: &[Run]) -> Row {
    let stages = Stage::ALL
        .into_iter()
        .filter_map(|stage| {
            Some((stage, median(runs.iter().filter_map(|run| run.seconds.of_stage(stage)).collect())?))
        })
        .collect();
    Row {
        name,
        command: median(runs.iter().map(|run| run.command).collect()).unwrap_or_default(),
        switched: median(runs.iter().filter_map(|run| run.switched).collect()),
        first_answer: median(runs.iter().filter_map(|run| run.first_answer).collect()),
        stages,
        ratio: None,
    }
}
