//! Switcher: traffic to the new replicas, and back. The proxy refuses what comes too late.

use cutover_core::{DeploymentId, Failure, HostName, Output};

use super::Hand;
use crate::host::Host;
use crate::{Flaw, invariant};

pub(super) async fn switch(hand: &Hand<'_>) -> Result<Output, Failure> {
    let (host, deployment) = (hand.host()?, hand.assignment.deployment.id());
    let replicas = hand.assignment.deployment.replicas(host);
    if replicas.is_empty()
        || !hand.on(host, |there| replicas.iter().all(|replica| there.runs(replica))).await?
    {
        return Err(Failure::lasting("a replica that is to get the traffic is gone"));
    }
    for earlier in hand.assignment.service.to_take_back_on(host) {
        if !hand.bus.world.has(Flaw::DebtsUnpaid) {
            take_back(hand, earlier).await?;
        }
    }
    let busy_until = busy_until(hand);
    let switched = hand.change("switches", |there| {
        let before = there.proxy.serving().cloned();
        let switched = there.proxy.switch(hand.assignment.claim, deployment, replicas, busy_until);
        if switched.is_ok() && before.as_ref() != Some(deployment) {
            look_at_switch(hand, there);
        }
        switched
    });
    let previous = switched.await?.map_err(|refusal| hand.refused(refusal))?;
    match serving(hand, host).await? {
        Some(serving) if serving == deployment.as_str() => {
            Ok(Output::Switched { previous: previous.map(|previous| previous.to_string()) })
        }
        _ => Err(Failure::passing("it doesn't serve after the switch")),
    }
}

fn look_at_switch(hand: &Hand<'_>, host: &Host) {
    let world = &hand.bus.world;
    let service = &world.bus.borrow().service;
    world.hold(invariant::a_stale_switch_takes_no_effect(service, host, hand.assignment));
    world.hold(invariant::the_way_back_leads_to_what_is_live(service, host, hand.assignment));
    world.hold(invariant::no_host_switches_before_all_are_ready(service, host, hand.assignment));
}

pub(super) async fn restore(hand: &Hand<'_>) -> Result<Output, Failure> {
    let serving = take_back(hand, hand.assignment.deployment.id()).await?;
    Ok(Output::Restored { serving: serving.map(|serving| serving.to_string()) })
}

/// Takes a deployment back and raises the fence, whether it has the traffic or not.
async fn take_back(hand: &Hand<'_>, deployment: &DeploymentId) -> Result<Option<DeploymentId>, Failure> {
    let busy_until = busy_until(hand);
    let what = format!("takes {} back", deployment.short());
    let restored =
        hand.change(&what, |there| there.proxy.restore(hand.assignment.claim, deployment, busy_until));
    let restored = restored.await?.map_err(|refusal| hand.refused(refusal))?;
    if serving(hand, hand.host()?).await?.as_deref() == Some(deployment.as_str()) {
        return Err(Failure::passing("it still serves after the restore"));
    }
    Ok(restored)
}

async fn serving(hand: &Hand<'_>, host: &HostName) -> Result<Option<String>, Failure> {
    hand.on(host, |there| there.proxy.serving().map(ToString::to_string)).await
}

/// When the last of the requests ends that are in flight while traffic moves.
fn busy_until(hand: &Hand<'_>) -> cutover_core::Timestamp {
    let world = &hand.bus.world;
    world.now().after(world.draw(|chance, _| chance.millis(0, 4_000)))
}

/// Raises the fence before a boot or a discard touches anything: a switch that was claimed before, to replicas that are
/// about to be removed, is refused from then on. Where the deployment still has traffic from a round that could not be
/// restored, it is taken back now.
pub(super) async fn fence_off(hand: &Hand<'_>) -> Result<(), Failure> {
    if hand.bus.world.has(Flaw::RemovalUnfenced) {
        return Ok(());
    }
    take_back(hand, hand.assignment.deployment.id()).await.map(drop)
}
