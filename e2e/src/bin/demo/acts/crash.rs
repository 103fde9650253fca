//! A host is lost in the middle of a deployment.

use anyhow::{Context, bail, ensure};
use cutover_core::{Cause, Outcome, Stage, Task};
use cutover_e2e::App;

use crate::scene::{Scene, aside, exit_code, say};

const VERSION: &str = "v8";

pub(crate) async fn host_two(scene: &mut Scene) -> anyhow::Result<()> {
    say(
        "An eighth version; host two loses its power before it is switched: no host is switched, and what is new is removed \
         everywhere",
    );
    let serving = scene.service().await?.live().context("nothing is live")?.release.version.clone();
    scene.project.write(&App { env: vec![("READY_AFTER", "3s".into())], ..scene.app(VERSION) })?;
    let deploy = scene.start(&["deploy", "production", "--version", VERSION])?;
    let address = scene.hosts[1].address.clone();
    let probe = Task { stage: Stage::Probe, host: Some(address.parse()?) };
    scene.until(VERSION, |deployment| deployment.state(&probe).is_open().then_some(())).await?;
    scene.traffic[1].before_a_crash().await;
    scene.hosts[1].crash()?;
    aside("host two has no power: every process on it is gone, its address is silent");

    let reason = scene
        .until(VERSION, |deployment| match deployment.cause()? {
            Cause::Failed(task, failure) => Some((task.clone(), failure.message.clone())),
            Cause::Aborted(_) => None,
        })
        .await?;
    ensure!(
        reason.0 == probe && reason.1.contains(&address),
        "it was given up for another reason: {reason:?}"
    );
    ensure!(!scene.traffic.iter().any(|traffic| traffic.has_seen(VERSION)), "a host was switched");
    aside("host two is given up, and the deployment goes back");
    scene.hosts[1].recover()?;
    aside("host two has power again");

    let ended = deploy.ended().await?;
    let says_so = |line: &str| line.contains("failed") && line.contains(&address);
    ensure!(ended.out.lines().any(says_so), "the command does not name the host that failed");
    // A host whose sshd is up before its Docker is owes the removal, and has it done a little later.
    let outcome = match ended.code {
        Some(4) => Outcome::TakenBack,
        Some(5) => Outcome::Degraded { live: false },
        code => bail!("the command exited with {code:?}"),
    };
    let note = format!("the command named {address}, and exited with {}", exit_code(outcome));
    scene.write_down("host two without power", outcome, Some(note)).await?;
    scene.until_service(|service| service.debts().next().is_none().then_some(())).await?;
    scene.until_served_by(&serving).await?;
    scene.traffic[1].after_a_crash();
    aside(&format!("both hosts serve {serving}, and owe nothing"));
    Ok(())
}
