//! Measuring whole commands.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cutover_core::Stage;
use cutover_e2e::{App, ControlPlane, Host, Load, LoadPlan, Project, StageSeconds};

/// Medians of one kind of command.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) command: Duration,
    pub(crate) first_answer: Option<Duration>,
    pub(crate) stages: Vec<(Stage, Duration)>,
}

/// An application that is deployed again and again, each time with another setting.
pub(crate) struct Bench<'a> {
    plane: &'a ControlPlane,
    project: &'a Project,
    host: &'a Host,
    hosts: Vec<String>,
}

/// What one command took.
struct Run {
    command: Duration,
    first_answer: Option<Duration>,
    seconds: StageSeconds,
}

impl<'a> Bench<'a> {
    /// Sets the hosts up and makes a first release live, which builds and ships the image.
    pub(crate) fn new(
        plane: &'a ControlPlane,
        project: &'a Project,
        host: &'a Host,
        hosts: Vec<String>,
    ) -> anyhow::Result<Self> {
        let bench = Self { plane, project, host, hosts };
        bench.write("first")?;
        for arguments in [vec!["setup"], vec!["deploy", "--version", "first"]] {
            let ended = plane.run(project.folder(), &arguments)?;
            ensure!(ended.code == Some(0), "cutover {}: {}{}", arguments.join(" "), ended.out, ended.err);
        }
        Ok(bench)
    }

    /// Deploys so many versions, each with the same image and another setting.
    pub(crate) async fn deploys(&self, name: &'static str, runs: usize) -> anyhow::Result<Row> {
        let mut all = Vec::new();
        for number in 0..runs {
            let version = format!("{}-{number}", self.hosts.len());
            self.write(&version)?;
            all.push(self.run(&["deploy", "--version", &version], &version).await?);
        }
        Ok(row(name, &all))
    }

    /// Goes back and forth between the last two releases.
    pub(crate) async fn rollbacks(&self, name: &'static str, runs: usize) -> anyhow::Result<Row> {
        let mut all = Vec::new();
        for _ in 0..runs {
            all.push(self.run(&["rollback"], "").await?);
        }
        Ok(row(name, &all))
    }

    fn write(&self, version: &str) -> anyhow::Result<()> {
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        let mut app = App { soak: "0s", ..App::new("v1", &hosts) };
        app.env = vec![("RELEASE", version.to_owned()), ("VERSION", version.to_owned())];
        self.project.write(&app)
    }

    async fn run(&self, arguments: &[&str], version: &str) -> anyhow::Result<Run> {
        let plan = LoadPlan { rate: 200, ..LoadPlan::new(self.host.http()?, "bench.example") };
        let load = Load::start(plan);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let begun = Instant::now();
        let ended = self.plane.run(self.project.folder(), arguments)?;
        let command = begun.elapsed();
        ensure!(ended.code == Some(0), "cutover {}: {}{}", arguments.join(" "), ended.out, ended.err);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let report = load.stop().await;
        ensure!(report.failed.is_empty(), "requests failed: {:?}", report.failed.first());
        let first_answer = report.first_answer_of(version).map(|at| at.into_std().duration_since(begun));
        let log = self.plane.journal().await?.service(&ControlPlane::key()?).await?;
        let deployment = log.service().current.clone().context("there was no deployment")?;
        Ok(Run { command, first_answer, seconds: StageSeconds::of(&deployment) })
    }
}

/// Gives a host back: no proxy, no replicas, no record.
pub(crate) fn reset(host: &Host) -> anyhow::Result<()> {
    host.exec(&["sh", "-c", "docker rm -f $(docker ps -aq) && docker volume rm cutover-proxy"]).map(drop)
}

fn row(name: &'static str, runs: &[Run]) -> Row {
    let stages = Stage::ALL
        .into_iter()
        .filter_map(|stage| {
            Some((stage, median(runs.iter().filter_map(|run| run.seconds.of_stage(stage)).collect())?))
        })
        .collect();
    Row {
        name,
        command: median(runs.iter().map(|run| run.command).collect()).unwrap_or_default(),
        first_answer: median(runs.iter().filter_map(|run| run.first_answer).collect()),
        stages,
    }
}

/// The middle one; none of nothing.
pub(crate) fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort();
    all.get(all.len() / 2).copied()
}

/// Prints the table, with what the real Kamal took on such hosts beside it.
pub(crate) fn print(rows: &[Row]) {
    println!("\n{:<40}{:>9}{:>14}   stages", "medians, seconds", "command", "first answer");
    for row in rows {
        let first = row.first_answer.map_or_else(String::new, |first| format!("{:.2}", first.as_secs_f64()));
        print!("{:<40}{:>9.2}{first:>14}  ", row.name, row.command.as_secs_f64());
        for (stage, seconds) in &row.stages {
            print!(" {stage} {:.2}", seconds.as_secs_f64());
        }
        println!();
    }
    println!(
        "{:<40}{:>9}{:>14}   measured before, not in this run",
        "Kamal 2.12: deploy, no build", "3.31", "2.4"
    );
    println!("{:<40}{:>9}{:>14}   measured before, not in this run", "Kamal 2.12: rollback", "2.05", "");
}
