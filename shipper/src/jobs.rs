//! Replicas that get no traffic, when the release changes for good: the old ones end, and those of the new one run.

use cutover_core::{Digest, Epoch, Plan, Progress};
use cutover_fleet::{Container, ImageName, Machine, Member};
use tokio::sync::watch;

use crate::Result;
use crate::crew::{Crew, taken};
use crate::retire::keep_running;
use crate::stop::stop_and_remove;

/// Ends `old`, each within its own time, then starts those that the plan wants and `there` hasn't: those that were not to run
/// beside the old ones, and those of a release whose other replicas were kept warm.
///
/// # Errors
/// A replica that exits at once or can't be started, and all that can go wrong with a host.
pub(crate) async fn change(
    machine: &Machine,
    plan: &Plan,
    image: &Digest,
    epoch: &Epoch,
    old: &[&Container],
    there: &[Container],
    progress: &watch::Sender<Progress>,
) -> Result<u32> {
    if !old.is_empty() {
        let names: Vec<&str> = old.iter().map(|job| job.name.as_str()).collect();
        progress.send_replace(Progress::Step(format!("{} ends its work", names.join(", "))));
    }
    let stopped = stop_and_remove(machine, old, plan.release.settings.timeouts.stop.0).await?;
    let runs =
        |job: &Member<'_>| there.iter().any(|container| container.name == job.name && container.running);
    let mut missing = Member::jobs(plan, machine.name());
    missing.retain(|job| !runs(job));
    if missing.is_empty() {
        return Ok(stopped);
    }
    // Those that have ended may have taken long. Whoever was overtaken meanwhile is refused here: what may run only once would
    // otherwise run twice.
    machine.proxy().retire(&plan.key, epoch, &plan.deployment).await?;
    let (network, taken) = tokio::try_join!(async { Ok(machine.network(&plan.key).await?) }, taken(machine))?;
    let image = ImageName::new(&plan.key, image);
    let docker = machine.docker().await?;
    let crew = Crew { machine, docker: &docker, plan, epoch, image: &image, network: &network };
    crew.start(&missing, there, &taken).await?;
    for job in &missing {
        keep_running(machine, &docker, &job.name).await?;
    }
    Ok(stopped)
}
