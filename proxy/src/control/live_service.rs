use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_control::{Epoch, ServiceKey, ServiceStatus, SetStatus, TargetStatus};

use super::ledger::{Deployed, Service};
use crate::targets::{Counters, DrainLimits, LiveSet, TargetSet};
use crate::traffic::{BootClock, LiveCanary, LiveMaintenance, LivePause, Regulation};

/// A service as it runs, brought in line with what the ledger says about it.
#[derive(Debug, Default)]
pub(crate) struct LiveService {
    active: Option<LiveSet>,
    previous: Option<LiveSet>,
    canary: Option<LiveCanary>,
    draining: Vec<LiveSet>,
    /// By release, what those had counted that are gone.
    forgotten: BTreeMap<String, Counters>,
    pause: Option<LivePause>,
    maintenance: Option<LiveMaintenance>,
}

impl LiveService {
    /// Keeps the sets that the ledger still names, starts the ones that it names anew, and drains the rest. New
    /// requests follow once the routes are replaced with [`serving`](Self::serving) and [`regulation`](Self::regulation).
    pub(crate) fn follow(&mut self, key: &ServiceKey, service: &Service, workers: usize, clock: &BootClock) {
        let limits = DrainLimits::of(service);
        let (canary, mirror) = self.canary.take().map(LiveCanary::into_parts).unzip();
        let mirror = mirror.filter(|_| canary_stays(canary.as_ref(), service));
        let sets = [self.active.take(), self.previous.take(), canary];
        let mut before: Vec<LiveSet> = sets.into_iter().flatten().collect();
        let mut removed = Vec::new();
        let mut take = |deployed: &Deployed| match before.iter().position(|live| live.is(deployed)) {
            Some(at) => {
                let mut live = before.swap_remove(at);
                removed.extend(live.update(deployed));
                live
            }
            None => LiveSet::start(key, deployed, workers),
        };
        self.active = service.active.as_ref().map(&mut take);
        self.previous = service.previous.as_ref().map(&mut take);
        self.canary = service.canary.as_ref().map(|canary| {
            let live = take(&canary.deployed);
            LiveCanary::start(key, canary, live, mirror.unwrap_or_default(), clock)
        });
        if let Some(active) = &mut self.active {
            self.draining.extend(active.serve());
        }
        if let Some(previous) = &mut self.previous {
            previous.drain(limits);
        }
        self.draining.extend(before.into_iter().chain(removed).map(|live| live.give_up(limits)));
        self.follow_halts(service, clock);
    }

    fn follow_halts(&mut self, service: &Service, clock: &BootClock) {
        let before = self.pause.take();
        let gate = before.as_ref().map(|before| Arc::clone(before.gate()));
        self.pause = service.pause.as_ref().and_then(|pause| LivePause::start(pause, before, clock));
        // Whoever waits at a gate that nobody keeps would wait for ever.
        if let Some(gate) = gate
            && !self.pause.as_ref().is_some_and(|pause| Arc::ptr_eq(pause.gate(), &gate))
        {
            gate.open();
        }
        self.maintenance = service.maintenance.as_ref().and_then(LiveMaintenance::start);
    }

    /// Sends the requests away that wait: the proxy is about to end.
    pub(crate) fn turn_away(&self) {
        if let Some(pause) = &self.pause {
            pause.gate().close();
        }
    }

    /// Where new requests go.
    pub(crate) fn serving(&self) -> Option<&Arc<TargetSet>> {
        self.active.as_ref().map(LiveSet::set)
    }

    /// What stands between new requests and that.
    pub(crate) fn regulation(&self) -> Option<Arc<Regulation>> {
        let regulation = Regulation {
            notice: self.maintenance.as_ref().map(|maintenance| Arc::clone(maintenance.notice())),
            gate: self.pause.as_ref().map(|pause| Arc::clone(pause.gate())),
            split: self.canary.as_ref().map(|canary| Arc::clone(canary.split())),
        };
        (!regulation.is_empty()).then(|| Arc::new(regulation))
    }

    /// Goes on from what another proxy has counted and found out.
    pub(crate) fn resume(&mut self, before: &ServiceStatus) {
        for gone in &before.forgotten {
            self.forgotten.entry(gone.release.clone()).or_default().resume(gone);
        }
        // What drains there ends there.
        let kept: Vec<_> = self.sets().map(|live| live.set().deployment.clone()).collect();
        let mut seen = BTreeSet::new();
        for gone in &before.draining {
            if !kept.contains(&gone.deployment) && seen.insert(&gone.deployment) {
                self.forgotten.entry(gone.release.clone()).or_default().resume(gone);
            }
        }
        let sets = [(&self.active, &before.active), (&self.previous, &before.previous)];
        for (live, before) in sets {
            match (live, before) {
                (Some(live), Some(before)) if live.set().deployment == before.deployment => {
                    live.set().resume(before);
                }
                _ => {}
            }
        }
        if let (Some(canary), Some(before)) = (&self.canary, &before.canary) {
            canary.resume(before);
        }
    }

    /// The targets that were displaced for good and still have something in flight.
    pub(crate) fn draining(&mut self) -> Vec<TargetStatus> {
        self.forget_drained();
        self.draining.iter().flat_map(LiveSet::busy).collect()
    }

    pub(crate) fn status(
        &mut self,
        key: &ServiceKey,
        epoch: &Epoch,
        service: &Service,
        clock: &BootClock,
    ) -> ServiceStatus {
        self.forget_drained();
        ServiceStatus {
            route: service.claims.route.clone(),
            ports: service.claims.ports.clone(),
            active: self.active.as_ref().map(|live| live.set().status()),
            previous: self.previous.as_ref().map(|live| live.set().status()),
            draining: self.draining.iter().map(|live| live.set().status()).collect(),
            forgotten: self.forgotten.iter().map(gone).collect(),
            canary: self.canary.as_ref().map(|canary| canary.status(clock)),
            pause: self.pause.as_ref().and_then(|pause| pause.status(clock)),
            maintenance: self.maintenance.as_ref().and_then(LiveMaintenance::status),
            ..ServiceStatus::new(key.clone(), epoch.clone())
        }
    }

    fn forget_drained(&mut self) {
        let (busy, idle): (Vec<_>, Vec<_>) =
            self.draining.drain(..).partition(|live| live.busy().next().is_some());
        self.draining = busy;
        let sets: Vec<_> = self.sets().map(|live| Arc::clone(live.set())).collect();
        // The sets of a deployment count together: what they have counted is gone with the last of them.
        let mut known: BTreeSet<&str> = sets.iter().map(|set| set.deployment.as_str()).collect();
        for live in &idle {
            let set = live.set();
            if known.insert(&set.deployment) {
                self.forgotten.entry(set.release.clone()).or_default().resume(&set.status());
            }
        }
        self.forgotten.retain(|release, _| sets.iter().any(|set| set.release == *release));
    }

    fn sets(&self) -> impl Iterator<Item = &LiveSet> {
        let canary = self.canary.as_ref().map(LiveCanary::live);
        self.active.iter().chain(&self.previous).chain(canary).chain(&self.draining)
    }
}

/// What the sets of a release had counted that are gone; they belong to no deployment any more.
fn gone((release, counters): (&String, &Counters)) -> SetStatus {
    let mut status = SetStatus::new("", release);
    counters.fill(&mut status);
    status
}

fn canary_stays(live: Option<&LiveSet>, service: &Service) -> bool {
    matches!((live, &service.canary), (Some(live), Some(canary)) if live.is(&canary.deployed))
}

#[cfg(test)]
mod tests;
