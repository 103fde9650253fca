//! The retire stage: the new release is live for good, and the old one goes, at once or once it was kept warm for a while.

use bollard::Docker;
use bollard::models::{ContainerUpdateBody, RestartPolicyNameEnum};
use cutover_core::{DeploymentId, Digest, Epoch, Plan, Progress};
use cutover_fleet::{Container, Machine, restart_policy};
use futures_util::future::try_join_all;
use tokio::sync::watch;

use crate::prune::{needless, prune};
use crate::stop::stop_and_remove;
use crate::{Error, Images, Removal, Result, Traffic, assets, beginnings, drain, jobs, sidecars};

/// Waits until the old replicas have answered their last requests, at most the longest drain and 5 s; stops and removes
/// them; and prunes the images that the host had of the service before that wait, but `images`. Answers with the number of
/// replicas that were removed. Those of the deployments `spared` go on running, without traffic: the cool stage is this one
/// again, with none spared.
///
/// Where the traffic is for good, so is all else: replicas of other roles of what was replaced end, also where it stays warm, and
/// those of this release run.
///
/// From here on Docker starts the live replicas again when they exit, or when the host does.
///
/// # Errors
/// A proxy that isn't there or refuses, replicas that never end their last requests (the others are gone by then), a host
/// or a Docker that can't be reached.
pub async fn retire(
    machine: &Machine,
    plan: &Plan,
    own: Images<'_>,
    epoch: &Epoch,
    spared: &[&DeploymentId],
    images: &[&Digest],
    progress: &watch::Sender<Progress>,
) -> Result<u32> {
    let settings = &plan.release.settings;
    let (live, others): (Vec<Container>, Vec<Container>) = machine
        .replicas(&plan.key)
        .await?
        .into_iter()
        .partition(|replica| replica.labels.deployment == *plan.booted_by());
    let (others, jobs): (Vec<Container>, Vec<Container>) = others.into_iter().partition(Container::is_web);
    let old: Vec<Container> =
        others.into_iter().filter(|replica| !spared.contains(&&replica.labels.deployment)).collect();
    let docker = machine.docker().await?;
    // Listed before the long wait: a deployment that begins meanwhile may have its image sent here, which is none of these.
    let needless = needless(machine, &plan.key, images).await;
    // What the proxy says comes after the list, and is so of all that is on it.
    let ask = async || {
        let (serving, draining) = machine.proxy().retire(&plan.key, epoch, &plan.deployment).await?;
        Ok(Traffic { serving, draining })
    };
    let limit = drain::limit(settings);
    // What goes on running may answer its last requests for as long as it likes.
    let is_old = |name: &str| old.iter().any(|replica| replica.name == name);
    let (_, traffic) = tokio::try_join!(
        async {
            let replicas = live.iter().map(|replica| keep_running(machine, &docker, &replica.name));
            tokio::try_join!(try_join_all(replicas), sidecars::keep(machine, &docker, plan, own.sidecars))
        },
        drain::wait(limit, is_old, ask, progress),
    )?;
    let removal = Removal::of(&old, &traffic);
    let jobs: Vec<&Container> = jobs.iter().collect();
    let (stopped, changed, pruned, removed) = tokio::join!(
        stop_and_remove(machine, &removal.free, settings.timeouts.stop.0),
        Box::pin(jobs::change(machine, plan, own.own, epoch, &jobs, &live, progress)),
        // An image that one of them still uses stays until the next time.
        async {
            prune(machine, &docker, needless?).await;
            Ok(())
        },
        beginnings::remove(machine, &plan.key),
    );
    if let Err(error) = pruned.and(removed) {
        tracing::warn!(error = &error as &dyn std::error::Error, "images that nobody needs may have stayed");
    }
    let stopped = stopped? + changed?;
    let kept: Vec<&DeploymentId> = spared.iter().copied().chain([plan.booted_by()]).collect();
    assets::prune(machine, &plan.key, &kept).await?;
    // What still answers its last requests may ask them.
    let draining = removal.draining.iter().map(|replica| &replica.labels.deployment);
    let asking: Vec<&DeploymentId> = kept.iter().copied().chain(draining).collect();
    let stopped = stopped + sidecars::prune(machine, &plan.key, epoch, &asking).await?;
    if removal.draining.is_empty() {
        Ok(stopped)
    } else {
        Err(Error::draining(&removal.draining, machine, limit))
    }
}

/// Until now an exit was to be seen as what it is: a replica that Docker starts anew again and again may look ready in
/// between. A live one must come back, and `unless-stopped` would not always do it: a Docker that was killed stops at its
/// next start what still runs, and takes that as stopped by hand.
pub(crate) async fn keep_running(machine: &Machine, docker: &Docker, name: &str) -> Result<()> {
    let policy = restart_policy(RestartPolicyNameEnum::ALWAYS);
    let update = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
    let updated = docker.update_container(name, update).await;
    Ok(updated.map_err(machine.host().docker_failed(format!("setting the restart policy of {name}")))?)
}
