//! The discard stage: takes a boot back.

use cutover_control::Refusal;
use cutover_core::{DeploymentId, Epoch, Plan, Progress};
use cutover_fleet::{Container, Machine};
use tokio::sync::watch;

use crate::stop::stop_and_remove;
use crate::{Error, Removal, Result, Traffic, assets, drain, fence, sidecars};

/// Removes the replicas of the deployment. Ones that had the traffic for a while answer their last requests first, within
/// `timeouts.drain` and 5 s. Answers with the number of replicas that were removed.
///
/// # Errors
/// Replicas that have the traffic, or never end their last requests; a proxy that refuses or doesn't answer, a host or a Docker that
/// can't be reached. A proxy that isn't there at all is none: nothing gets traffic through it.
pub async fn discard(
    machine: &Machine,
    plan: &Plan,
    epoch: &Epoch,
    progress: &watch::Sender<Progress>,
) -> Result<u32> {
    let found = machine.replicas(&plan.key).await?;
    let own: Vec<&Container> =
        found.iter().filter(|replica| replica.labels.deployment == plan.deployment).collect();
    // A boot that failed early may have got as far as its sidecars.
    let (networks, _) = machine.sidecar_networks(&plan.key).await?;
    if own.is_empty() && !networks.iter().any(|network| network.deployment == plan.deployment) {
        return Ok(0);
    }
    match fence::raise(machine, plan, epoch).await {
        // Another journal has the proxy by now: it refuses all claims of this one, late ones too.
        Ok(()) | Err(cutover_fleet::Error::Refused { refusal: Refusal::ForeignJournal { .. }, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // Asked after the containers were listed: what was given traffic in between is known by now.
    let ask = async || match machine.proxy().service(&plan.key).await {
        Ok(status) => Ok(Traffic::of(status.as_ref())),
        Err(cutover_fleet::Error::NoProxy { .. }) => Ok(Traffic::default()),
        Err(error) => Err(error.into()),
    };
    let removed = remove_drained(machine, plan, &own, ask, progress).await?;
    // Listed again: it may have been long until the last request was answered.
    let left = machine.replicas(&plan.key).await?;
    let others: Vec<&DeploymentId> = left
        .iter()
        .map(|replica| &replica.labels.deployment)
        .filter(|other| **other != plan.deployment)
        .collect();
    assets::prune(machine, &plan.key, &others).await?;
    Ok(removed + sidecars::prune(machine, &plan.key, epoch, &others).await?)
}

/// Removes replicas that no new request goes to, once they have answered their last ones, within `timeouts.drain` and 5 s.
/// They were listed, and the fence was raised, before; `ask` says what the proxy does with them. Answers with their number.
///
/// # Errors
/// Those of [`discard`].
pub(crate) async fn remove_drained<F>(
    machine: &Machine,
    plan: &Plan,
    own: &[&Container],
    ask: impl Fn() -> F,
    progress: &watch::Sender<Progress>,
) -> Result<u32>
where
    F: Future<Output = Result<Traffic>>,
{
    let settings = &plan.release.settings;
    let limit = drain::limit(settings);
    let is_own = |name: &str| own.iter().any(|replica| replica.name == name);
    let traffic = drain::wait(limit, is_own, ask, progress).await?;
    let removal = Removal::of(own.iter().copied(), &traffic);
    if !removal.serving.is_empty() {
        return Err(Error::serving(&removal.serving, machine));
    }
    let removed = stop_and_remove(machine, &removal.free, settings.timeouts.stop.0).await?;
    if removal.draining.is_empty() {
        Ok(removed)
    } else {
        Err(Error::draining(&removal.draining, machine, limit))
    }
}
