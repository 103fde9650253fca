//! Switcher: traffic to the new replicas, a share first, and back. The proxy refuses what comes too late.

use std::time::Duration;

use cutover_core::{DeploymentId, Evidence, Failure, HostName, Output};

use super::Hand;
use crate::host::Host;
use crate::tally::Happening;
use crate::{Flaw, invariant};

/// From one call to the next of those that make a share hold.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// Each step on all hosts on which another version serves.
pub(super) async fn canary(hand: &Hand<'_>) -> Result<Output, Failure> {
    let deployment = hand.assignment.deployment.id();
    let hosts: Vec<HostName> = hand.plan().hosts.iter().map(|spec| spec.name.clone()).collect();
    for host in &hosts {
        for earlier in hand.assignment.service.to_take_back_on(host) {
            if !hand.bus.world.has(Flaw::DebtsUnpaid) {
                take_back_on(hand, host, earlier).await?;
            }
        }
    }
    let promotions = &hand.assignment.deployment.promotions;
    for (number, _) in (0..).zip(&hand.plan().release.settings.canary.steps) {
        if promotions.iter().any(|promotion| promotion.ends(number)) {
            continue;
        }
        // It is renewed now and then, as long as it holds.
        for _ in 0..hand.bus.world.draw(|chance, _| 1 + chance.below(3)) {
            for host in &hosts {
                let replicas = hand.assignment.deployment.replicas(host);
                let busy_until = busy_until(hand);
                let shared = hand.change_on(host, "shares traffic", |there| {
                    if !replicas.iter().all(|replica| there.runs(replica)) {
                        return Err(Failure::lasting("a replica that is to get a share is gone"));
                    }
                    let shared = there.proxy.canary(hand.assignment.claim, deployment, replicas, busy_until);
                    if matches!(shared, Ok(true)) {
                        hand.bus.world.count(Happening::Shared);
                        look_at_share(hand, there);
                    }
                    Ok(shared)
                });
                shared.await??.map_err(|refusal| hand.refused(refusal))?;
            }
            hand.bus.world.sleep(RENEW_EVERY).await;
        }
    }
    Ok(Output::Canaried { seen: Evidence::default(), verdict: None })
}

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
            take_back_on(hand, host, earlier).await?;
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

fn look_at_share(hand: &Hand<'_>, host: &Host) {
    let world = &hand.bus.world;
    let service = &world.bus.borrow().service;
    world.hold(invariant::a_stale_switch_takes_no_effect(service, host, hand.assignment));
    world.hold(invariant::no_host_switches_before_all_are_ready(service, host, hand.assignment));
}

fn look_at_switch(hand: &Hand<'_>, host: &Host) {
    let world = &hand.bus.world;
    let service = &world.bus.borrow().service;
    world.hold(invariant::a_stale_switch_takes_no_effect(service, host, hand.assignment));
    world.hold(invariant::the_way_back_leads_to_what_is_live(service, host, hand.assignment));
    world.hold(invariant::no_host_switches_before_all_are_ready(service, host, hand.assignment));
}

pub(super) async fn restore(hand: &Hand<'_>) -> Result<Output, Failure> {
    let serving = take_back_on(hand, hand.host()?, hand.assignment.deployment.id()).await?;
    Ok(Output::Restored { serving: serving.map(|serving| serving.to_string()) })
}

/// Takes a deployment back and raises the fence, whether it has the traffic or not.
async fn take_back_on(
    hand: &Hand<'_>,
    host: &HostName,
    deployment: &DeploymentId,
) -> Result<Option<DeploymentId>, Failure> {
    let busy_until = busy_until(hand);
    let what = format!("takes {} back", deployment.short());
    let restored = hand
        .change_on(host, &what, |there| there.proxy.restore(hand.assignment.claim, deployment, busy_until));
    let restored = restored.await?.map_err(|refusal| hand.refused(refusal))?;
    if serving(hand, host).await?.as_deref() == Some(deployment.as_str()) {
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
    take_back_on(hand, hand.host()?, hand.assignment.deployment.id()).await.map(drop)
}
