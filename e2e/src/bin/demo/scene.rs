//! What the demonstration plays on, and what it writes down.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cutover_core::{Deployment, Outcome, Service};
use cutover_e2e::{App, ControlPlane, Database, Host, LoadReport, Project, Relay, StageSeconds};

use crate::installation::Installation;
use crate::running::Running;
use crate::traffic::{RATE, Stretch, Traffic};

/// How long anything that is waited for may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks whether a host serves.
const AGAIN: Duration = Duration::from_millis(100);
/// The hosts, as the story calls them.
const NAMES: [&str; 2] = ["host one", "host two"];

/// A deployment that was shown.
pub(crate) struct Shown {
    pub(crate) title: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) seconds: StageSeconds,
    /// What was done to it.
    pub(crate) note: Option<String>,
}

/// All that was shown and seen.
pub(crate) struct Report {
    pub(crate) took: Duration,
    pub(crate) deployments: Vec<Shown>,
    pub(crate) stretches: Vec<Stretch<LoadReport>>,
}

/// The scene: two hosts, a control plane, a database, an application, and load once there is something to load.
pub(crate) struct Scene {
    begun: Instant,
    pub(crate) plane: ControlPlane,
    pub(crate) installation: Installation,
    pub(crate) hosts: [Host; 2],
    pub(crate) project: Project,
    pub(crate) database: Database,
    /// Another way to the database, which releases know it by.
    pub(crate) way: Option<Relay>,
    pub(crate) traffic: Vec<Traffic>,
    shown: Vec<Shown>,
}

impl Scene {
    /// Sets it up: hosts, control plane, database, and the proxies on the hosts.
    pub(crate) async fn set() -> anyhow::Result<Self> {
        say("Two separate Docker hosts, a control plane and a PostgreSQL on this machine");
        let begun = Instant::now();
        let hosts = [Host::up("demo-one")?, Host::up("demo-two")?];
        let database = Database::start("demo")?;
        let installation = Installation::new()?;
        let plane = ControlPlane::up_from(installation.path(), &[&hosts[0], &hosts[1]], 2)?;
        let project = Project::new()?;
        let (way, traffic, shown) = (None, Vec::new(), Vec::new());
        let scene = Self { begun, plane, installation, hosts, project, database, way, traffic, shown };
        for (name, host) in NAMES.into_iter().zip(&scene.hosts) {
            aside(&format!("{name} is {}", host.address));
        }
        aside("two of each program: builder, shipper, migrator, prober, switcher");
        scene.project.write(&scene.app("v1"))?;
        scene.show(&["setup", "production"], 0)?;
        Ok(scene)
    }

    /// The application in a healthy state, on both hosts.
    pub(crate) fn app(&self, version: &str) -> App {
        let hosts: Vec<&str> = self.hosts.iter().map(|host| host.address.as_str()).collect();
        App { soak: "2s", ..App::new(version, &hosts) }
    }

    /// The load begins: open loop, on both hosts, through their proxies.
    pub(crate) fn load(&mut self) -> anyhow::Result<()> {
        for (name, host) in NAMES.into_iter().zip(&self.hosts) {
            self.traffic.push(Traffic::begin(name, host)?);
        }
        aside(&format!("from now on each host is asked {RATE} times a second, whatever happens"));
        Ok(())
    }

    /// Runs `cutover` before the eyes of whoever watches.
    pub(crate) fn show(&self, arguments: &[&str], code: i32) -> anyhow::Result<()> {
        println!("  $ cutover {}", arguments.join(" "));
        let status = self.plane.show(self.project.folder(), arguments)?;
        ensure!(status.code() == Some(code), "cutover {}: {status}, expected {code}", arguments.join(" "));
        Ok(())
    }

    /// Starts `cutover`, and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> anyhow::Result<Running> {
        println!("  $ cutover {}", arguments.join(" "));
        Running::start(&self.plane, self.project.folder(), arguments)
    }

    /// Runs `cutover` to the end of a deployment, and writes down what became of it.
    pub(crate) async fn play(
        &mut self,
        title: &'static str,
        arguments: &[&str],
        expected: Outcome,
    ) -> anyhow::Result<Deployment> {
        self.show(arguments, exit_code(expected))?;
        self.write_down(title, expected, None).await
    }

    /// Writes down what became of the last deployment; fails when it is not what was expected.
    pub(crate) async fn write_down(
        &mut self,
        title: &'static str,
        expected: Outcome,
        note: Option<String>,
    ) -> anyhow::Result<Deployment> {
        let deployment = self.service().await?.current.context("there was no deployment")?;
        let outcome = deployment.outcome().with_context(|| format!("{title}: it has not ended"))?;
        ensure!(outcome == expected, "{title}: {outcome:?}, expected {expected:?}");
        self.shown.push(Shown { title, outcome, seconds: StageSeconds::of(&deployment), note });
        Ok(deployment)
    }

    /// What the journal says of the service now.
    pub(crate) async fn service(&self) -> anyhow::Result<Service> {
        Ok(self.plane.journal().await?.service(&ControlPlane::key()?).await?.service().clone())
    }

    /// Waits until the deployment of a version is as `look` says, and answers with what it saw.
    pub(crate) async fn until<T>(
        &self,
        version: &str,
        look: impl Fn(&Deployment) -> Option<T>,
    ) -> anyhow::Result<T> {
        let is_it = |deployment: &&Deployment| deployment.plan.release.version == version;
        self.until_service(|service| service.current.as_ref().filter(is_it).and_then(&look)).await
    }

    /// The same for the service as a whole.
    pub(crate) async fn until_service<T>(&self, look: impl Fn(&Service) -> Option<T>) -> anyhow::Result<T> {
        let mut watch = self.plane.journal().await?.watch(&ControlPlane::key()?).await?;
        let wait = async {
            loop {
                if let Some(seen) = look(watch.service()) {
                    return anyhow::Ok(seen);
                }
                watch.changed().await?;
            }
        };
        let limit = LIMIT.as_secs();
        tokio::time::timeout(LIMIT, wait).await.with_context(|| format!("not seen within {limit} s"))?
    }

    /// Waits until this version, and no other, answers whoever comes to any host.
    pub(crate) async fn until_served_by(&self, version: &str) -> anyhow::Result<()> {
        for traffic in &self.traffic {
            let served = async {
                while !traffic.is_served_by(version).await {
                    tokio::time::sleep(AGAIN).await;
                }
            };
            let limit = LIMIT.as_secs();
            tokio::time::timeout(LIMIT, served)
                .await
                .with_context(|| format!("{version} does not serve on every host within {limit} s"))?;
        }
        Ok(())
    }

    /// Ends the load and takes everything down.
    pub(crate) async fn strike(self) -> Report {
        let mut stretches = Vec::new();
        for traffic in self.traffic {
            stretches.extend(traffic.end().await);
        }
        Report { took: self.begun.elapsed(), deployments: self.shown, stretches }
    }
}

/// What `cutover` exits with after such a deployment (`docs/exit-codes.md`).
pub(crate) const fn exit_code(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Live => 0,
        Outcome::TakenBack | Outcome::Failed => 4,
        Outcome::Degraded { .. } => 5,
        Outcome::Aborted => 6,
    }
}

/// A heading.
pub(crate) fn say(text: &str) {
    println!("\n\u{2014} {text}");
}

/// What happens beside the commands.
pub(crate) fn aside(text: &str) {
    println!("  * {text}");
}
