//! What the demonstration plays on, and what it writes down.

use std::time::Instant;

use anyhow::{Context, bail};
use cutover_core::{Deployment, Outcome};
use cutover_e2e::{App, ControlPlane, Database, Host, Load, LoadPlan, LoadReport, Project, StageSeconds};

/// Requests per second.
pub(crate) const RATE: u32 = 500;

/// A deployment that was shown.
pub(crate) struct Shown {
    pub(crate) title: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) seconds: StageSeconds,
}

/// The scene: a host, a control plane, a database, an application, and load once there is something to load.
pub(crate) struct Stage {
    pub(crate) host: Host,
    pub(crate) plane: ControlPlane,
    pub(crate) project: Project,
    pub(crate) database: Database,
    pub(crate) load: Option<Load>,
    shown: Vec<Shown>,
}

impl Stage {
    /// Sets it up: host, control plane, database, and the proxy on the host.
    pub(crate) async fn set() -> anyhow::Result<Self> {
        say("A separate Docker host, a control plane on this machine, a PostgreSQL");
        let begun = Instant::now();
        let host = Host::up("demo")?;
        let database = Database::start("demo")?;
        let plane = ControlPlane::up(&[&host], 2)?;
        let project = Project::new()?;
        project.write(&App::new("v1", &[&host.address]))?;
        println!("  host {} and the rest up in {:.1} s", host.address, begun.elapsed().as_secs_f64());
        println!("  $ cutover setup production");
        if !plane.show(project.folder(), &["setup", "production"])?.success() {
            bail!("cutover setup failed");
        }
        Ok(Self { host, plane, project, database, load: None, shown: Vec::new() })
    }

    /// The application in a healthy state, on the host.
    pub(crate) fn app(&self, version: &str) -> App {
        App::new(version, &[&self.host.address])
    }

    /// The load begins: open loop, through the proxy.
    pub(crate) fn load(&mut self) -> anyhow::Result<()> {
        println!("  {RATE} requests per second from now on");
        let plan = LoadPlan { rate: RATE, ..LoadPlan::new(self.host.http()?, "hello.example") };
        self.load = Some(Load::start(plan));
        Ok(())
    }

    /// Runs `cutover` before the eyes of whoever watches, and writes down what became of the deployment.
    pub(crate) async fn play(
        &mut self,
        title: &'static str,
        arguments: &[&str],
        expected: Outcome,
    ) -> anyhow::Result<Deployment> {
        println!("  $ cutover {}", arguments.join(" "));
        self.plane.show(self.project.folder(), arguments)?;
        self.write_down(title, expected).await
    }

    /// Writes down what became of the last deployment; fails when it is not what was expected.
    pub(crate) async fn write_down(
        &mut self,
        title: &'static str,
        expected: Outcome,
    ) -> anyhow::Result<Deployment> {
        let log = self.plane.journal().await?.service(&ControlPlane::key()?).await?;
        let deployment = log.service().current.clone().context("there was no deployment")?;
        let outcome = deployment.outcome().context("the deployment has not ended")?;
        if outcome != expected {
            bail!("{title}: {outcome:?}, expected {expected:?}");
        }
        self.shown.push(Shown { title, outcome, seconds: StageSeconds::of(&deployment) });
        Ok(deployment)
    }

    /// Ends the load and takes everything down.
    pub(crate) async fn strike(self) -> anyhow::Result<(Vec<Shown>, LoadReport)> {
        let report = self.load.context("there was no load")?.stop().await;
        Ok((self.shown, report))
    }
}

/// A heading.
pub(crate) fn say(text: &str) {
    println!("\n\u{2014} {text}");
}
