//! Transfers that are interrupted, by Cutover's own programs: what is there already isn't sent again.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cutover_core::{Output, Stage, Status};
use cutover_e2e::{App, ControlPlane, Host, Link, Project};
use tokio::time::sleep;

use crate::shipper::Shipper;

/// The image's layers have this together, in MiB; there are four, and none can be compressed.
const IMAGE: u32 = 256;
/// What the link carries: the image takes a dozen seconds.
const RATE: &str = "200mbit";
/// How long the link is cut.
const CUT: Duration = Duration::from_secs(5);
/// How long a deployment may take until the host has the first layers.
const LIMIT: Duration = Duration::from_secs(120);

/// Ends the host's Docker, and starts it as it was.
const RESTART_DOCKER: &str = r#"
pid=$(cat /run/docker.pid)
mapfile -d '' -t line <"/proc/$pid/cmdline"
kill "$pid"
while [[ -e /proc/$pid ]]; do sleep 0.05; done
setsid "${line[@]}" </dev/null >/run/docker.log 2>&1 &
"#;

/// What happens in the middle of a transfer.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    ShipperKilled,
    LinkCut,
    DockerRestarted,
}

/// Prints for each interruption how the deployment went on.
pub(crate) async fn measure() -> anyhow::Result<()> {
    println!("\ninterrupted while {IMAGE} MiB are sent at {RATE}");
    for interruption in [Interruption::ShipperKilled, Interruption::LinkCut, Interruption::DockerRestarted] {
        let (sent, took) = interrupt(interruption).await?;
        let what = match interruption {
            Interruption::ShipperKilled => "the shipper is killed (SIGKILL)",
            Interruption::LinkCut => "the link is cut for 5 s",
            Interruption::DockerRestarted => "the host's Docker is stopped, and started",
        };
        let (sent, took) = (sent as f64 / f64::from(1 << 20), took.as_secs_f64());
        println!("{what:<44}live {took:.1} s later; the attempt that ended it sent {sent:.0} MiB");
    }
    Ok(())
}

/// Answers with the bytes that the attempt sent which was the last, and the time from the interruption to the end.
async fn interrupt(interruption: Interruption) -> anyhow::Result<(u64, Duration)> {
    let host = Host::up("ship-cut")?;
    let (plane, project, link) = (ControlPlane::up(&[&host], 2)?, Project::new()?, Link::of(&host)?);
    link.limit(RATE)?;
    project.write(&App { payload: IMAGE, replicas: 1, soak: "0s", ..App::new("v1", &[&host.address]) })?;
    let ended = plane.run(project.folder(), &["setup"])?;
    ensure!(ended.code == Some(0), "cutover setup: {}{}", ended.out, ended.err);
    let mut deploy = plane.command(project.folder(), &["deploy", "--version", "cut"]);
    let mut deploy = deploy.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;

    let begun = Instant::now();
    while host.exec(&["docker", "images", "--quiet", "--filter", "label=cutover.beginning"])?.is_empty() {
        ensure!(begun.elapsed() < LIMIT, "the host has no layer yet");
        if let Some(status) = deploy.try_wait()? {
            bail!("the deployment ended before it was interrupted: {status}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    let interrupted = Instant::now();
    match interruption {
        Interruption::ShipperKilled => {
            // The one that sends is among them.
            Shipper::all_of(&plane)?.iter().try_for_each(Shipper::kill)?;
        }
        Interruption::LinkCut => {
            link.set_up(false)?;
            sleep(CUT).await;
            link.set_up(true)?;
        }
        Interruption::DockerRestarted => drop(host.exec(&["bash", "-c", RESTART_DOCKER])?),
    }
    let status = tokio::task::spawn_blocking(move || deploy.wait()).await??;
    ensure!(status.success(), "the deployment failed: {status}");
    let took = interrupted.elapsed();

    let log = plane.journal().await?.service(&ControlPlane::key()?).await?;
    let deployment = log.service().current.clone().context("there was no deployment")?;
    let shipped =
        deployment.plan.tasks_of(Stage::Ship).find_map(|task| match deployment.state(&task).status {
            Status::Finished { output: Output::Shipped { sent }, .. } => Some(sent),
            _ => None,
        });
    Ok((shipped.context("nothing was shipped")?, took))
}
