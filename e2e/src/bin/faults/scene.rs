//! A host under load, and a deployment on it in which a program fails.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cutover_bus::Watch;
use cutover_core::{Outcome, Stage};
use cutover_e2e::{App, ControlPlane, Database, Host, Load, LoadPlan, Project};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, How};

/// A worker may be silent for 8 s, and another takes its task over within 5 s more.
const RESUMED_WITHIN: Duration = Duration::from_secs(13);
/// More than twice as long as a worker may be silent.
const STOPPED_FOR: Duration = Duration::from_secs(18);
const LIMIT: Duration = Duration::from_secs(120);

/// The scene.
pub(crate) struct Scene {
    project: Project,
    plane: ControlPlane,
    database: Database,
    host: Host,
}

/// What was seen.
pub(crate) struct Seen {
    /// The longest silence in the journal from the fault on.
    pub(crate) resumed: Duration,
    /// The whole deployment.
    pub(crate) all: Duration,
    /// Requests that failed, but for the bad version's own answers.
    pub(crate) failed: usize,
    /// What is not as it should be.
    pub(crate) wrong: Vec<String>,
}

impl Scene {
    /// Sets it up, with a first version live.
    pub(crate) async fn set() -> anyhow::Result<Self> {
        let host = Host::up("faults")?;
        let database = Database::start("faults")?;
        let plane = ControlPlane::up(&[&host], 2)?;
        let project = Project::new()?;
        let scene = Self { project, plane, database, host };
        scene.write(0, Stage::Build, "first")?;
        for arguments in [["setup"].as_slice(), ["deploy", "--version", "first"].as_slice()] {
            let ended = scene.plane.run(scene.project.folder(), arguments)?;
            if ended.code != Some(0) {
                bail!("cutover {}: {}{}", arguments.join(" "), ended.out, ended.err);
            }
        }
        Ok(scene)
    }

    /// Writes a release in whose deployment the stage takes place.
    fn write(&self, number: usize, stage: Stage, version: &str) -> anyhow::Result<()> {
        let url = self.project.folder().join("database-url");
        std::fs::write(&url, &self.database.url)?;
        let folder = self.project.folder().join("migrations");
        std::fs::create_dir_all(&folder)?;
        // Each migration fails when it is applied twice.
        let sql = format!("CREATE TABLE applied_{number} (id int);\n");
        std::fs::write(folder.join(format!("{number:03}_applied.sql")), sql)?;
        let mut app = App { soak: "1s", ..App::new(version, &[&self.host.address]) };
        app.database = Some(format!("file://{}", url.display()));
        app.warm = (stage == Stage::Cool).then_some("1s");
        if stage.takes_back() {
            app.env = vec![("FAIL_RATE", "1".to_owned())];
        }
        self.project.write(&app)
    }

    /// Plays one case: a deployment in which the fault happens.
    pub(crate) async fn play(&self, number: usize, case: &Case) -> anyhow::Result<Seen> {
        let taken_back = case.stage.takes_back();
        let version = format!("case-{number}");
        self.write(number, case.stage, &version)?;
        let fault = self.plane.fault();
        let taken = fault.with_extension("taken");
        let _ = std::fs::remove_file(&taken);
        std::fs::write(&fault, case.order())?;

        let load = Load::start(LoadPlan { rate: 200, ..LoadPlan::new(self.host.http()?, "faults.example") });
        let watch = self.plane.journal().await?.watch(&ControlPlane::key()?).await?;
        let mut deploy = self
            .plane
            .command(self.project.folder(), &["deploy", "--version", &version])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let failing = tokio::spawn(fail(taken, case.how));
        let (changes, outcome) =
            tokio::time::timeout(LIMIT, Box::pin(follow(watch, version.clone()))).await??;
        tokio::task::spawn_blocking(move || deploy.wait()).await??;
        let failed_at =
            tokio::time::timeout(LIMIT, failing).await.context("the fault was never ordered")???;
        let report = load.stop().await;

        let mut wrong = Vec::new();
        let expected = if taken_back { Outcome::TakenBack } else { Outcome::Live };
        if outcome != expected {
            wrong.push(format!("ended {outcome:?}"));
        }
        let resumed = longest_pause(failed_at, &changes);
        if resumed > RESUMED_WITHIN {
            wrong.push("resumed late".to_owned());
        }
        let own = taken_back.then_some(version.as_str());
        let failed =
            report.failed.iter().filter(|failure| own.is_none() || failure.version.as_deref() != own).count();
        if failed > 0 {
            wrong.push(format!("{:?}", report.failed.first()));
        }
        wrong.extend(self.left_behind(number, &version, taken_back).await?);
        let all = changes.last().zip(changes.first()).map_or(Duration::ZERO, |(last, first)| *last - *first);
        Ok(Seen { resumed, all, failed, wrong })
    }

    /// What is on the host beside what should be: two replicas of the version that is live, and the proxy.
    async fn left_behind(
        &self,
        number: usize,
        version: &str,
        taken_back: bool,
    ) -> anyhow::Result<Vec<String>> {
        let mut wrong = Vec::new();
        let log = self.plane.journal().await?.service(&ControlPlane::key()?).await?;
        let live = log.service().live().context("nothing is live")?;
        if (live.release.version == version) == taken_back {
            wrong.push(format!("{} is live", live.release.version));
        }
        let format = "{{.Label \"cutover.deployment\"}} {{.State}}";
        let filter = "label=cutover.service=hello";
        let listed = self.host.exec(&["docker", "ps", "--all", "--filter", filter, "--format", format])?;
        let running = format!("{} running", live.booted_by());
        if listed.lines().count() != 2 || listed.lines().any(|line| line != running) {
            wrong.push(format!("replicas: {}", listed.trim().replace('\n', ", ")));
        }
        let (client, connection) = tokio_postgres::connect(&self.database.url, tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        let table = format!("applied_{number}");
        let applied =
            client.query_one("SELECT count(*) FROM pg_tables WHERE tablename = $1", &[&table]).await?;
        if applied.get::<_, i64>(0) != 1 {
            wrong.push("the migration was not applied".to_owned());
        }
        drop(client);
        connection.await??;
        Ok(wrong)
    }
}

/// The longest time without a word in the journal, from the fault to the end.
fn longest_pause(fault: Instant, changes: &[Instant]) -> Duration {
    let mut last = fault;
    let mut longest = Duration::ZERO;
    for at in changes.iter().filter(|at| **at > fault) {
        longest = longest.max(*at - last);
        last = *at;
    }
    longest
}

/// Waits until the fault has happened; answers with when. A stopped program goes on after a while.
async fn fail(taken: PathBuf, how: How) -> anyhow::Result<Instant> {
    let pid = loop {
        if let Some(pid) = std::fs::read_to_string(&taken).ok().and_then(|text| text.trim().parse().ok()) {
            break Pid::from_raw(pid);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let at = Instant::now();
    if how == How::Stop {
        tokio::time::sleep(STOPPED_FOR).await;
        kill(pid, Signal::SIGCONT)?;
        // What it still wants to do, it does now.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok(at)
}

/// When each word came into the journal, until the deployment of that version has ended and owes nothing, and how it did.
async fn follow(mut watch: Watch, version: String) -> anyhow::Result<(Vec<Instant>, Outcome)> {
    let mut changes = Vec::new();
    loop {
        watch.changed().await?;
        changes.push(Instant::now());
        let current =
            watch.service().current.as_ref().filter(|current| current.plan.release.version == version);
        let outcome = current.and_then(cutover_core::Deployment::outcome);
        if let Some(outcome) = outcome.filter(|_| watch.service().obligations.is_empty()) {
            return Ok((changes, outcome));
        }
    }
}
