//! The boot stage: new replicas beside the old ones.

use cutover_core::{DeploymentId, Digest, Epoch, Plan, Progress, Replica, Resources, SidecarImages};
use cutover_fleet::{Container, ImageName, Machine, Member, Room, SidecarContainer};
use tokio::sync::watch;

use crate::crew::{Crew, taken};
use crate::discard::remove_drained;
use crate::sidecars::Launch;
use crate::stop::stop_and_remove;
use crate::{Error, Result, Traffic, assets, fence, preflight, strays};

/// What the journal says of replicas that may be on the host already.
#[derive(Clone, Copy, Debug)]
pub struct Existing<'a> {
    /// The sequence at which the round of the deployment began.
    pub round_began: u64,
    /// The deployments whose replicas are live, or kept warm.
    pub in_use: &'a [&'a DeploymentId],
    /// Those of them that go on being so: nobody has begun to end them.
    pub shared: &'a [&'a DeploymentId],
}

/// The images of a deployment.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// That of the service.
    pub own: &'a Digest,
    /// Those of its sidecars, all of them.
    pub sidecars: &'a SidecarImages,
}

/// Starts the replicas of the deployment on the host, all side by side, and answers with where those listen that get traffic.
/// The other roles start with them, unless they are to wait until the old ones have ended: the retire stage does that. One that runs
/// already is kept, unless an earlier round of the deployment made it: it is removed, and made anew. Whoever was to discard
/// that round may only have been asleep, and would remove it once it serves; a new one has an id that he hasn't seen.
/// Each is watched until it listens or 300 ms have passed; whether it is ready, the probe stage asks.
///
/// Each has an address of its own, which it keeps when it or the host is started anew: the proxy remembers where it
/// listens.
///
/// Sidecars start with them, unless they are there already for another deployment that wants the same.
///
/// Replicas that earlier deployments have left behind are removed, but those of the deployments in use.
///
/// # Errors
/// A secret without a value, an image that the host doesn't have, a replica that exits at once (its container stays), a
/// host or a Docker that can't be reached, a proxy that is there but refuses or doesn't answer, replicas of an earlier round
/// that never end their last requests.
pub async fn boot(
    machine: &Machine,
    plan: &Plan,
    images: Images<'_>,
    epoch: &Epoch,
    existing: Existing<'_>,
    progress: &watch::Sender<Progress>,
) -> Result<Vec<Replica>> {
    let settings = &plan.release.settings;
    let (web, jobs) = (Member::web(plan), Member::early_jobs(plan, machine.name()));
    let members: Vec<_> = web.iter().cloned().chain(jobs).collect();
    let (found, sidecars, room, network, taken, (), ()) = tokio::try_join!(
        async { Ok(machine.replicas(&plan.key).await?) },
        Box::pin(sidecars(machine, plan)),
        Box::pin(room(machine, plan, &members)),
        // Boxed: what is rarely needed would make the future of every boot large.
        Box::pin(async { Ok(machine.network(&plan.key).await?) }),
        taken(machine),
        Box::pin(async { Ok(machine.require_networks(&settings.container.networks).await?) }),
        Box::pin(async { Ok(fence::raise(machine, plan, epoch).await?) }),
    )?;
    let (left, found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|replica| is_left(replica, plan, existing.round_began));
    let mut room = room;
    if !left.is_empty() {
        // A proxy that doesn't answer may still have them for its targets, and is waited for.
        let ask = async || Ok(Traffic::of(machine.proxy().service(&plan.key).await?.as_ref()));
        Box::pin(remove_drained(machine, plan, &left.iter().collect::<Vec<_>>(), ask, progress)).await?;
        // They have given back what they had.
        room = Box::pin(self::room(machine, plan, &members)).await?;
    }
    let docker = machine.docker().await?;
    let launch = Launch {
        machine,
        docker: &docker,
        plan,
        images: images.sidecars,
        epoch,
        network: &network,
        existing,
    };
    if let Some(room) = room {
        let new = members.iter().filter(|member| !runs(member, &found));
        let wanted = new.map(|member| member.settings(plan).resources.clone());
        let wanted: Vec<Resources> = wanted.chain(launch.wanted(&sidecars)).collect();
        preflight::check(machine.name(), room, &wanted)?;
    }
    let image = ImageName::new(&plan.key, images.own);
    Box::pin(assets::prepare(machine, plan, &image, &found)).await?;
    // First, as they make the network that the replicas are on too.
    Box::pin(launch.run(&sidecars)).await?;
    let crew = Crew { machine, docker: &docker, plan, epoch, image: &image, network: &network };
    let (started, ()) = tokio::join!(
        crew.start(&members, &found, &taken),
        remove_strays(machine, plan, epoch, existing.in_use, &found)
    );
    let mut replicas = started?;
    replicas.truncate(web.len());
    Ok(replicas)
}

/// The sidecars of the service that the host has, where the plan has some.
async fn sidecars(machine: &Machine, plan: &Plan) -> Result<Vec<SidecarContainer>> {
    let none = plan.release.settings.sidecars.is_empty();
    Ok(if none { Vec::new() } else { machine.sidecars(&plan.key).await? })
}

/// What the host has left, where the new replicas have a limit that could be too much for it.
async fn room(machine: &Machine, plan: &Plan, members: &[Member<'_>]) -> Result<Option<Room>> {
    let sidecars = plan.release.settings.sidecars.iter().map(|sidecar| sidecar.resources.clone());
    let wanted: Vec<Resources> =
        members.iter().map(|member| member.settings(plan).resources.clone()).chain(sidecars).collect();
    if preflight::asks(&wanted) { Ok(Some(machine.room().await?)) } else { Ok(None) }
}

/// Whether a replica is there already, and has taken what it needs.
fn runs(member: &Member<'_>, found: &[Container]) -> bool {
    found.iter().any(|container| container.name == member.name && container.running)
}

/// Whether an earlier round of the deployment has left a replica.
fn is_left(replica: &Container, plan: &Plan, round_began: u64) -> bool {
    replica.labels.deployment == plan.deployment && replica.labels.epoch.sequence < round_began
}

/// Removes what earlier deployments have left behind. Where the proxy can't be asked, nothing is; and nothing that goes
/// wrong here is a reason not to deploy.
async fn remove_strays(
    machine: &Machine,
    plan: &Plan,
    epoch: &Epoch,
    in_use: &[&DeploymentId],
    found: &[Container],
) {
    let removed = async {
        if strays(found, &plan.deployment, epoch, in_use, None).is_empty() {
            return Ok(());
        }
        // Asked after the containers were listed: what was given traffic in between is known by now.
        let status = machine.proxy().service(&plan.key).await?;
        for stray in strays(found, &plan.deployment, epoch, in_use, status.as_ref()) {
            if stray.is_web() {
                machine.remove(&stray.id, &stray.name).await?;
            } else {
                // It may be at work.
                stop_and_remove(machine, &[stray], plan.release.settings.timeouts.stop.0).await?;
            }
            tracing::info!(host = %machine.name(), container = stray.name, "removed what a deployment had left behind");
        }
        Ok::<(), Error>(())
    };
    if let Err(error) = removed.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "what earlier deployments have left behind stays"
        );
    }
}
