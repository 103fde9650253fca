//! A program is replaced while a deployment runs.

use anyhow::ensure;
use cutover_core::{Outcome, Program, Stage};
use cutover_e2e::App;
use cutover_e2e::claim::{self, claims};
use nix::sys::signal::{Signal, kill};

use crate::scene::{Scene, aside, exit_code, say};

const VERSION: &str = "v10";

pub(crate) async fn the_prober(scene: &mut Scene) -> anyhow::Result<()> {
    say(
        "A tenth version; in the middle of its deployment the prober is replaced: another file in its place, SIGTERM to the \
         processes of the old one",
    );
    scene.project.write(&App { env: vec![("READY_AFTER", "3s".into())], ..scene.app(VERSION) })?;
    let deploy = scene.start(&["deploy", "production", "--version", VERSION])?;
    let old = scene.until(VERSION, |deployment| claim::at_work(deployment, Stage::Probe)).await?;
    scene.installation.replace(Program::Prober)?;
    let outdated = scene.installation.outdated(Program::Prober)?;
    ensure!(
        outdated.contains(&old),
        "the prober that probes, {old}, does not run from the file that was replaced"
    );
    for pid in &outdated {
        kill(*pid, Signal::SIGTERM)?;
    }
    aside(&format!("SIGTERM: the probers {}; the one that probes ends that first", listed(&outdated)));
    let new = scene.until(VERSION, |deployment| claim::holder(deployment, Stage::Soak)).await?;
    ensure!(
        scene.installation.is_current(Program::Prober, new)?,
        "the soak was begun by an old prober, {new}"
    );
    aside(&format!("the soak is begun by a new one: pid {new}"));
    let ended = deploy.ended().await?;
    ensure!(ended.code == Some(exit_code(Outcome::Live)), "the command exited with {:?}", ended.code);
    ensure!(scene.installation.outdated(Program::Prober)?.is_empty(), "an old prober is still there");
    let note = format!("probed by pid {old} of the old prober, soaked by pid {new} of the new one");
    let deployment = scene.write_down("prober replaced", Outcome::Live, Some(note)).await?;
    ensure!(claims(&deployment, Stage::Probe) == 1, "the prober left its probe to another");
    scene.until_served_by(VERSION).await
}

fn listed(pids: &[nix::unistd::Pid]) -> String {
    pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
