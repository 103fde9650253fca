#![allow(clippy::unwrap_used)]

use cutover_control::{Canary, Switch};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;

use super::*;
use crate::control::Ledger;
use crate::targets::Target;

/// A call that somebody may make.
#[derive(Clone, Debug)]
enum Act {
    Switch(Switch),
    Canary(Canary),
    Restore(String),
    Retire(String),
}

fn key() -> ServiceKey {
    ServiceKey::new("production", "app")
}

fn deployment() -> impl Strategy<Value = String> {
    (1..6_u8).prop_map(|number| format!("d{number}"))
}

/// Replicas are shared by deployments, as one that goes back to warm replicas shares them.
fn switch() -> impl Strategy<Value = Switch> {
    let targets = vec((1..5_u16).prop_map(wire), 1..4);
    (deployment(), targets, prop_oneof![Just(0), Just(60_000)]).prop_map(|(deployment, targets, drain_ms)| {
        Switch { drain_ms, ..Switch::new(key(), epoch(0), &deployment, &deployment, targets) }
    })
}

fn wire(number: u16) -> cutover_control::Target {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], number));
    cutover_control::Target { replica: format!("replica-{number}"), address }
}

fn act() -> impl Strategy<Value = Act> {
    let canary = (switch(), prop_oneof![Just(1), Just(60_000)]).prop_map(|(switch, hold_ms)| {
        Act::Canary(Canary { switch, weight: 100, hold_ms, sticky: false, choose: None, mirror: 0 })
    });
    prop_oneof![
        switch().prop_map(Act::Switch),
        canary,
        deployment().prop_map(Act::Restore),
        deployment().prop_map(Act::Retire),
    ]
}

fn epoch(sequence: u64) -> Epoch {
    Epoch { journal: "j".to_owned(), sequence }
}

/// What the ledger says after a call; none: it was refused.
fn decide(ledger: &Ledger, act: Act, sequence: u64, clock: &BootClock) -> Option<Ledger> {
    let mut next = ledger.clone();
    let epoch = epoch(sequence);
    match act {
        Act::Switch(switch) => next.switch(&Switch { epoch, ..switch }).map(drop),
        Act::Canary(mut canary) => {
            canary.switch.epoch = epoch;
            next.canary(&canary, clock.after(canary.hold_ms)).map(drop)
        }
        Act::Restore(deployment) => next.restore(&key(), &epoch, &deployment).map(drop),
        Act::Retire(deployment) => next.retire(&key(), &epoch, &deployment),
    }
    .ok()
    .map(|()| next)
}

impl LiveService {
    fn set_of(&self, deployment: &str) -> Option<&LiveSet> {
        let canary = self.canary.as_ref().map(LiveCanary::live);
        let mut named = self.active.iter().chain(canary).chain(&self.previous);
        named.find(|live| live.set().deployment == deployment)
    }

    fn named(&self) -> impl Iterator<Item = &Arc<Target>> {
        let canary = self.canary.as_ref().map(LiveCanary::live);
        let named = self.active.iter().chain(canary).chain(&self.previous);
        named.flat_map(|live| &live.set().targets)
    }
}

proptest! {
    #[test]
    fn whatever_is_asked_no_target_that_is_named_is_given_up(acts in vec((act(), 0..3_u64), 1..40)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut ledger, mut live, clock) = (Ledger::default(), LiveService::default(), BootClock::new());
            let mut sequence = 10;
            for (act, newer) in acts {
                // Some come late, and are refused.
                sequence += newer;
                let late = u64::from(newer == 2);
                let Some(next) = decide(&ledger, act, sequence - 2 * late, &clock) else { continue };
                ledger = next;
                let Some(service) = ledger.services.get(&key()) else { continue };
                let canary = live.canary.as_ref().map(|canary| Arc::clone(canary.live().set()));
                live.follow(&key(), service, 1, &clock);
                tokio::task::yield_now().await;

                for given_up in live.draining.iter().flat_map(|set| &set.set().targets) {
                    prop_assert!(!live.named().any(|named| Arc::ptr_eq(named, given_up)));
                }
                let names = [
                    service.active.as_ref(),
                    service.canary.as_ref().map(|canary| &canary.deployed),
                    service.previous.as_ref(),
                ];
                for (place, deployed) in names.into_iter().enumerate() {
                    let Some(deployed) = deployed else { continue };
                    let set = live.set_of(&deployed.deployment);
                    prop_assert!(set.is_some(), "{} does not run", deployed.deployment);
                    // What only a restore would bring back is cut when its time is over.
                    let cut = set.is_some_and(|set| set.set().targets.iter().any(|target| target.was_cut()));
                    prop_assert!(place == 2 || !cut, "{} is cut", deployed.deployment);
                }
                // What was promoted has kept its targets and counters.
                if let (Some(before), Some(active)) = (canary, &live.active)
                    && before.deployment == active.set().deployment
                {
                    prop_assert!(Arc::ptr_eq(&before.counters, &active.set().counters));
                    for target in &active.set().targets {
                        let known = before.targets.iter().find(|known| known.is_at(target.replica(), target.address()));
                        // A target may be named twice.
                        let stayed = before.targets.iter().any(|before| Arc::ptr_eq(before, target));
                        prop_assert!(known.is_none() || stayed);
                    }
                }
            }
            Ok(())
        })?;
    }
}
