//! Shipper: images and containers. Docker refuses nobody, so that names are deterministic, and the proxy is asked in the
//! same step before anything is removed.

use std::time::Duration;

use cutover_core::{DeploymentId, Failure, KeptRelease, Output};

use super::Hand;
use super::switcher::fence_off;
use crate::host::{Container, Host};
use crate::proxy::Set;
use crate::tally::Happening;
use crate::{Flaw, invariant};

/// The proxy cuts what is in flight after 30 s; so long, and a little more, it is waited for.
const DRAIN_LIMIT: Duration = Duration::from_secs(35);

pub(super) async fn ship(hand: &Hand<'_>) -> Result<Output, Failure> {
    let image = hand.image()?;
    if !hand.bus.world.store.borrow().contains(image) {
        return Err(Failure::lasting("the image is not in the store"));
    }
    if hand.on(hand.host()?, |there| there.images.contains(image)).await? {
        return Ok(Output::Shipped { sent: 0 });
    }
    hand.take_time(50, 3_000).await;
    hand.change("receives the image", |there| there.images.insert(image.clone())).await?;
    Ok(Output::Shipped { sent: 1 })
}

/// New replicas beside the old ones. One that runs already is kept.
pub(super) async fn boot(hand: &Hand<'_>) -> Result<Output, Failure> {
    let (host, image) = (hand.host()?, hand.image()?);
    let world = &hand.bus.world;
    // The host is asked while the fence goes up.
    let fence_first = world.draw(|chance, _| chance.one_in(2));
    if fence_first {
        fence_off(hand).await?;
    }
    if !hand.on(host, |there| there.images.contains(image)).await? {
        return Err(Failure::lasting("the host doesn't have the image"));
    }
    let found = hand.on(host, |there| there.containers.clone()).await?;
    if !fence_first {
        fence_off(hand).await?;
    }
    let (left, found): (Vec<Container>, _) =
        found.into_iter().partition(|container| is_left(hand, container));
    stop_drained(hand, &left).await?;
    let strays_first = world.draw(|chance, _| chance.one_in(2));
    if strays_first {
        remove_strays(hand, &found).await?;
    }
    let (deployment, claim) = (hand.assignment.deployment.id(), hand.assignment.claim);
    let mut replicas = Vec::new();
    for number in 1..=hand.plan().release.settings.replicas {
        let name = format!("app-{}-{number}", deployment.short());
        if let Some(container) = found.iter().find(|container| container.replica.name == name) {
            replicas.push(container.replica.clone());
            continue;
        }
        hand.take_time(20, 300).await;
        let starts = format!("starts {name}");
        let made = hand.change(&starts, |there| {
            let service = &world.bus.borrow().service;
            world.hold(invariant::what_is_discarded_stays_so(service, hand.assignment));
            let made = there.run(&name, deployment, claim, !hand.assignment.is_in_force(service));
            let there = std::slice::from_ref(there);
            world.hold(invariant::what_runs_finds_its_schema(&world.database.borrow(), there));
            made
        });
        match made.await? {
            Ok(container) => replicas.push(container.replica),
            Err(_) => {
                world.count(Happening::NameTaken);
                return Err(Failure::passing("another worker may have made it a moment ago"));
            }
        }
    }
    if !strays_first {
        remove_strays(hand, &found).await?;
    }
    Ok(Output::Booted { replicas })
}

/// Whether a container was made in an earlier round of the deployment. Whoever was to discard it may only have been asleep,
/// and would remove it once it serves: what is made anew has another id, and nobody who is asleep has seen that.
fn is_left(hand: &Hand<'_>, container: &Container) -> bool {
    let deployment = &hand.assignment.deployment;
    let is_earlier = container.deployment == *deployment.id() && container.claim < deployment.round_began;
    is_earlier && !hand.bus.world.has(Flaw::KeptFromEarlierRound)
}

/// Removes what earlier deployments have left behind: not what is booted, not what is live or warm, nothing that the proxy
/// names, and nothing that was made under a later claim: the worker may have been asleep.
async fn remove_strays(hand: &Hand<'_>, found: &[Container]) -> Result<(), Failure> {
    let world = &hand.bus.world;
    let in_use = in_use(hand);
    let unknown = |container: &Container| {
        container.deployment != *hand.assignment.deployment.id()
            && !in_use.contains(&&container.deployment)
            && container.claim < hand.assignment.claim
    };
    if !found.iter().any(unknown) {
        return Ok(());
    }
    let unnamed = |there: &mut Host| {
        let names = |set: &Set, container: &Container| match world.has(Flaw::StraysByDeployment) {
            true => set.deployment == container.deployment,
            false => set.targets.contains(&container.replica),
        };
        let named = |container: &Container| there.proxy.sets(world.now()).any(|set| names(set, container));
        found.iter().filter(|container| unknown(container) && !named(container)).cloned().collect::<Vec<_>>()
    };
    for stray in hand.on(hand.host()?, unnamed).await? {
        world.count(Happening::Stray);
        hand.remove(&[stray]).await?;
    }
    Ok(())
}

/// The deployments whose replicas a boot leaves alone.
fn in_use<'a>(hand: &'a Hand<'_>) -> Vec<&'a DeploymentId> {
    let (service, world) = (&hand.assignment.service, &hand.bus.world);
    if world.has(Flaw::StraysByDeployment) {
        return service.live().map(|live| &live.deployment).into_iter().collect();
    }
    if world.has(Flaw::WarmIsStray) {
        return service.live().map(KeptRelease::booted_by).into_iter().collect();
    }
    service.in_use()
}

/// The old replicas go, but for those that stay warm.
pub(super) async fn retire(hand: &Hand<'_>) -> Result<Output, Failure> {
    let spared = match hand.bus.world.has(Flaw::WarmIsRetired) {
        true => Vec::new(),
        false => hand.assignment.service.spared(&hand.assignment.deployment),
    };
    let stopped = stop_old(hand, &spared).await?;
    prune(hand).await?;
    Ok(Output::Retired { stopped })
}

/// The old replicas that were kept warm go.
pub(super) async fn cool(hand: &Hand<'_>) -> Result<Output, Failure> {
    let stopped = stop_old(hand, &[]).await?;
    prune(hand).await?;
    Ok(Output::Cooled { stopped })
}

/// The images go that no kept release needs.
async fn prune(hand: &Hand<'_>) -> Result<(), Failure> {
    let mut images: Vec<_> = hand.assignment.service.kept.iter().map(|kept| kept.image.clone()).collect();
    images.push(hand.image()?.clone());
    hand.change("prunes images", |there| there.images.retain(|image| images.contains(image))).await
}

/// Stops all replicas but those of the deployment and those that are spared, once the proxy has given up the way back to
/// them and their last requests have ended.
async fn stop_old(hand: &Hand<'_>, spared: &[&DeploymentId]) -> Result<u32, Failure> {
    let (host, world) = (hand.host()?, &hand.bus.world);
    let (deployment, claim) = (hand.assignment.deployment.id(), hand.assignment.claim);
    let stays = |id: &DeploymentId| id == hand.plan().booted_by() || spared.contains(&id);
    let found = hand.on(host, |there| there.containers.clone()).await?;
    let old: Vec<Container> = found.into_iter().filter(|container| !stays(&container.deployment)).collect();
    let began = world.now();
    let free = loop {
        let asked = hand.change("retires", |there| {
            there.proxy.retire(claim, deployment)?;
            Ok(free(there, &old, world.now()))
        });
        let free = asked.await?.map_err(|refusal| hand.refused(refusal))?;
        if free.len() == old.len() || world.has(Flaw::RetireBlindly) {
            break old.clone();
        }
        if world.now().since(began) > DRAIN_LIMIT {
            break free;
        }
        world.sleep(Duration::from_millis(500)).await;
    };
    let stopped = hand.remove(&free).await?;
    if free.len() < old.len() {
        return Err(Failure::passing("their last requests don't end"));
    }
    Ok(stopped)
}

/// Takes a boot back, once the proxy has said that nothing of it has traffic, and has raised the fence: the last restore
/// may have failed for good, in an earlier round.
pub(super) async fn discard(hand: &Hand<'_>) -> Result<Output, Failure> {
    let found = hand.on(hand.host()?, |there| there.containers.clone()).await?;
    let deployment = hand.assignment.deployment.id();
    let own: Vec<Container> =
        found.into_iter().filter(|container| container.deployment == *deployment).collect();
    if own.is_empty() {
        return Ok(Output::Discarded { removed: 0 });
    }
    fence_off(hand).await?;
    Ok(Output::Discarded { removed: stop_drained(hand, &own).await? })
}

/// Stops replicas that don't serve, once their last requests have ended.
async fn stop_drained(hand: &Hand<'_>, replicas: &[Container]) -> Result<u32, Failure> {
    let (host, world) = (hand.host()?, &hand.bus.world);
    let began = world.now();
    while !replicas.is_empty() {
        let (serves, free) = hand
            .on(host, |there| {
                let serves = replicas.iter().any(|container| there.proxy.serves(&container.replica));
                (serves, free(there, replicas, world.now()))
            })
            .await?;
        if serves {
            return Err(Failure::passing("what is to be discarded has the traffic"));
        }
        if free.len() == replicas.len() || world.has(Flaw::DiscardAtOnce) {
            return hand.remove(replicas).await;
        }
        if world.now().since(began) > DRAIN_LIMIT {
            hand.remove(&free).await?;
            return Err(Failure::passing("their last requests don't end"));
        }
        world.sleep(Duration::from_millis(500)).await;
    }
    Ok(0)
}

/// Those that the proxy sends nothing to and waits for nothing from.
fn free(host: &Host, containers: &[Container], now: cutover_core::Timestamp) -> Vec<Container> {
    let is_free = |container: &&Container| {
        !host.proxy.serves(&container.replica) && !host.proxy.drains(&container.replica, now)
    };
    containers.iter().filter(is_free).cloned().collect()
}
