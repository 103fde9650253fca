//! Prober: looks, and changes nothing.

use std::time::Duration;

use cutover_core::{Evidence, Failure, Output};

use super::Hand;

/// For how long a host may say nothing in a soak.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn probe(hand: &Hand<'_>) -> Result<Output, Failure> {
    let host = hand.host()?;
    let replicas = hand.assignment.deployment.replicas(host);
    hand.take_time(50, 3_000).await;
    let all = hand.on(host, |there| replicas.iter().all(|replica| there.runs(replica))).await?;
    if all { Ok(Output::Probed { asked: 1 }) } else { Err(Failure::lasting("a replica is gone")) }
}

pub(super) async fn soak(hand: &Hand<'_>) -> Result<Output, Failure> {
    let world = &hand.bus.world;
    let deployment = &hand.assignment.deployment;
    let began = deployment.state(&hand.assignment.task).began.unwrap_or(deployment.last);
    let elapsed = deployment.last.since(began);
    let end = world.now().after(hand.plan().release.settings.soak.time.0.saturating_sub(elapsed));
    let mut heard = world.now();
    loop {
        let mut silent = false;
        for host in &hand.plan().hosts {
            match hand.on(&host.name, |there| there.proxy.serving().cloned()).await {
                Ok(serving) if serving.as_ref() != Some(deployment.id()) => {
                    return Err(Failure::lasting(format!("{} serves something else", host.name)));
                }
                Ok(_) => {}
                Err(_) => silent = true,
            }
        }
        if !silent {
            heard = world.now();
            if heard >= end {
                return Ok(Output::Soaked(Evidence::default()));
            }
        } else if world.now().since(heard) > PATIENCE {
            return Err(Failure::passing("a host can't be watched"));
        }
        world.sleep(Duration::from_secs(1)).await;
    }
}
