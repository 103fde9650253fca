//! The command that began a deployment is killed.

use cutover_core::{Outcome, Stage};
use cutover_e2e::{App, claim};

use crate::scene::{Scene, aside, exit_code, say};

const VERSION: &str = "v9";

pub(crate) async fn in_the_middle(scene: &mut Scene) -> anyhow::Result<()> {
    say("A ninth version; the command is killed, and the deployment goes on without it");
    scene.project.write(&App { env: vec![("READY_AFTER", "2s".into())], ..scene.app(VERSION) })?;
    let deploy = scene.start(&["deploy", "production", "--version", VERSION])?;
    scene.until(VERSION, |deployment| claim::at_work(deployment, Stage::Probe)).await?;
    let pid = deploy.kill().await?;
    aside(&format!("SIGKILL: `cutover deploy`, pid {pid}"));
    scene.show(&["status", "--watch"], exit_code(Outcome::Live))?;
    let note = format!("SIGKILL to `cutover deploy`, pid {pid}, in the middle of it");
    scene.write_down("command killed", Outcome::Live, Some(note)).await?;
    scene.until_served_by(VERSION).await
}
