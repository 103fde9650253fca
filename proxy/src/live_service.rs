use std::sync::Arc;

use cutover_control::{Epoch, ServiceKey, ServiceStatus, TargetStatus};

use crate::drain::DrainLimits;
use crate::ledger::{Deployed, Service};
use crate::live_set::LiveSet;
use crate::target_set::TargetSet;

/// A service as it runs, brought in line with what the ledger says about it.
#[derive(Debug, Default)]
pub(crate) struct LiveService {
    active: Option<LiveSet>,
    previous: Option<LiveSet>,
    draining: Vec<LiveSet>,
}

impl LiveService {
    /// Keeps the sets that the ledger still names, starts the ones that it names anew, and drains the rest. New
    /// requests follow once the routes are replaced with [`serving`](Self::serving).
    pub(crate) fn follow(&mut self, key: &ServiceKey, service: &Service, workers: usize) {
        let limits = DrainLimits::of(service);
        let mut before: Vec<LiveSet> = self.active.take().into_iter().chain(self.previous.take()).collect();
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
        if let Some(active) = &mut self.active {
            self.draining.extend(active.serve());
        }
        if let Some(previous) = &mut self.previous {
            previous.drain(limits);
        }
        self.draining.extend(before.into_iter().chain(removed).map(|live| live.give_up(limits)));
    }

    /// Where new requests go.
    pub(crate) fn serving(&self) -> Option<&Arc<TargetSet>> {
        self.active.as_ref().map(LiveSet::set)
    }

    /// Goes on from what another proxy has counted and found out.
    pub(crate) fn resume(&self, before: &ServiceStatus) {
        let sets = [(&self.active, &before.active), (&self.previous, &before.previous)];
        for (live, before) in sets {
            match (live, before) {
                (Some(live), Some(before)) if live.set().deployment == before.deployment => {
                    live.set().resume(before);
                }
                _ => {}
            }
        }
    }

    /// The targets that were displaced for good and still have something in flight.
    pub(crate) fn draining(&mut self) -> Vec<TargetStatus> {
        self.forget_drained();
        self.draining.iter().flat_map(LiveSet::busy).collect()
    }

    pub(crate) fn status(&mut self, key: &ServiceKey, epoch: &Epoch, service: &Service) -> ServiceStatus {
        self.forget_drained();
        ServiceStatus {
            route: service.route.clone(),
            active: self.active.as_ref().map(|live| live.set().status()),
            previous: self.previous.as_ref().map(|live| live.set().status()),
            draining: self.draining.iter().map(|live| live.set().status()).collect(),
            ..ServiceStatus::new(key.clone(), epoch.clone())
        }
    }

    fn forget_drained(&mut self) {
        self.draining.retain(|live| live.busy().next().is_some());
    }
}
