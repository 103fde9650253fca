//! The acts of the demonstration, in order.

use std::time::Duration;

use anyhow::{Context, ensure};
use cutover_core::{Deployment, Outcome, Progress, Status, Task};
use cutover_e2e::{App, ControlPlane};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stage::{Stage, say};

/// The version that answers every request with 500, once it has traffic.
pub(crate) const BAD: &str = "v4";

const ADD_TABLE: (&str, &str) =
    ("001_notes.sql", "CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);\n");
const ADD_COLUMN: (&str, &str) = ("002_note_author.sql", "ALTER TABLE notes ADD COLUMN author text;\n");

pub(crate) async fn first_deploy(stage: &mut Stage) -> anyhow::Result<()> {
    say("A first deploy");
    stage.play("first deploy", &["deploy", "production", "--version", "v1"], Outcome::Live).await?;
    stage.load()
}

pub(crate) async fn expand_migration(stage: &mut Stage) -> anyhow::Result<()> {
    say("A second version, with a migration that the first one tolerates");
    let app = App {
        database: Some(database_url(stage, &stage.database.url)?),
        migrations: vec![ADD_TABLE],
        ..stage.app("v2")
    };
    stage.project.write(&app)?;
    stage.play("with a migration", &["deploy", "production", "--version", "v2"], Outcome::Live).await?;
    Ok(())
}

pub(crate) async fn never_ready(stage: &mut Stage) -> anyhow::Result<()> {
    say("A third version whose readiness never turns green: taken back before any traffic");
    let app = App { env: vec![("READY", "never".into())], ..stage.app("v3") };
    stage.project.write(&app)?;
    stage.play("never ready", &["deploy", "production", "--version", "v3"], Outcome::TakenBack).await?;
    let report = stage.load.as_ref().context("there is no load")?.snapshot();
    ensure!(report.first_answer_of("v3").is_none(), "the version that was never ready has answered");
    Ok(())
}

pub(crate) async fn fails_after_the_switch(stage: &mut Stage) -> anyhow::Result<()> {
    say("A fourth version that answers 500 once it has traffic: taken back in its soak");
    let app = App { env: vec![("FAIL_RATE", "1".into())], ..stage.app(BAD) };
    stage.project.write(&app)?;
    stage
        .play("500 after the switch", &["deploy", "production", "--version", BAD], Outcome::TakenBack)
        .await?;
    Ok(())
}

pub(crate) async fn replayed_once_mended(stage: &mut Stage) -> anyhow::Result<()> {
    say(
        "A fifth version whose database is not where it is looked for; then it is, and the failed stage is replayed",
    );
    let app = App {
        database: Some(database_url(stage, "postgres://app@127.0.0.1:1/nowhere")?),
        migrations: vec![ADD_TABLE, ADD_COLUMN],
        ..stage.app("v5")
    };
    stage.project.write(&app)?;
    let failed =
        stage.play("no database", &["deploy", "production", "--version", "v5"], Outcome::Failed).await?;
    database_url(stage, &stage.database.url)?;
    let replayed = stage.play("replayed", &["replay"], Outcome::Live).await?;
    for stage in [cutover_core::Stage::Build, cutover_core::Stage::Ship] {
        ensure!(claims(&failed, stage) == claims(&replayed, stage), "the replay did the {stage} again");
    }
    Ok(())
}

pub(crate) async fn rolled_back(stage: &mut Stage) -> anyhow::Result<()> {
    say("A rollback to the release before");
    stage.play("rollback", &["rollback"], Outcome::Live).await?;
    Ok(())
}

pub(crate) async fn shipper_killed(stage: &mut Stage) -> anyhow::Result<()> {
    say("A sixth version of 200 MB; the shipper is killed in the middle of sending it, and another goes on");
    stage.project.write(&App { payload: 200, ..stage.app("v6") })?;
    println!("  $ cutover deploy production --version v6");
    let arguments = ["deploy", "production", "--version", "v6"];
    let mut deploy = stage.plane.command(stage.project.folder(), &arguments).spawn()?;
    kill_the_shipper_that_ships(stage).await?;
    tokio::task::spawn_blocking(move || deploy.wait()).await??;
    let deployment = stage.write_down("shipper killed", Outcome::Live).await?;
    ensure!(
        claims(&deployment, cutover_core::Stage::Ship) == 2,
        "nobody took the task of the killed shipper over"
    );
    Ok(())
}

/// Waits until a shipper has sent something, and kills it: SIGKILL, to the pid that its claim names.
async fn kill_the_shipper_that_ships(stage: &Stage) -> anyhow::Result<()> {
    let mut watch = stage.plane.journal().await?.watch(&ControlPlane::key()?).await?;
    let wait = async {
        loop {
            if let Some(pid) = watch.service().running().and_then(sender) {
                return anyhow::Ok(pid);
            }
            watch.changed().await?;
        }
    };
    let pid = tokio::time::timeout(Duration::from_secs(120), wait)
        .await
        .context("nothing was sent within 2 minutes")??;
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    Ok(())
}

/// The process that has sent part of the image, and only part.
fn sender(deployment: &Deployment) -> Option<i32> {
    deployment.tasks().into_iter().filter(|(task, _)| task.stage == cutover_core::Stage::Ship).find_map(
        |(_, state)| match state.status {
            Status::Claimed { claim, progress: Some(Progress::Bytes { done, total }) }
                if 0 < done && done < total =>
            {
                claim.worker.rsplit(':').next()?.parse().ok()
            }
            _ => None,
        },
    )
}

/// The claims of the first task of a stage.
fn claims(deployment: &Deployment, stage: cutover_core::Stage) -> u32 {
    deployment.plan.tasks_of(stage).next().map_or(0, |task: Task| deployment.state(&task).claims)
}

/// Writes the address of the database where the deploy file's reference says, and answers with the reference.
fn database_url(stage: &Stage, url: &str) -> anyhow::Result<String> {
    let path = stage.project.folder().join("database-url");
    std::fs::write(&path, url)?;
    Ok(format!("file://{}", path.display()))
}
