use std::sync::Arc;

use cutover_control::{ServiceKey, TargetStatus};

use super::counters::Counters;
use super::drain::{Drain, DrainLimits};
use super::health::Watch;
use super::target::Target;
use super::target_set::TargetSet;
use crate::control::Deployed;

/// A deployment's targets with all that runs for them: the active check, and the drain once they are displaced.
#[derive(Debug)]
pub(crate) struct LiveSet {
    deployed: Deployed,
    workers: usize,
    set: Arc<TargetSet>,
    watch: Option<Watch>,
    drain: Option<Drain>,
}

impl LiveSet {
    pub(crate) fn start(service: &ServiceKey, deployed: &Deployed, workers: usize) -> Self {
        let service = Arc::new(service.clone());
        Self::of(service, deployed, new_targets(deployed, workers), Arc::default(), workers).watched()
    }

    pub(crate) fn is(&self, deployed: &Deployed) -> bool {
        self.deployed.deployment == deployed.deployment
    }

    pub(crate) fn set(&self) -> &Arc<TargetSet> {
        &self.set
    }

    /// Takes over new targets and settings; what is no longer among the targets is given back to be drained.
    pub(crate) fn update(&mut self, deployed: &Deployed) -> Option<Self> {
        if self.deployed == *deployed {
            return None;
        }
        // The limits and the ports of a target are made with it.
        let numbers = |deployed: &Deployed| -> Vec<u16> {
            deployed.claims.ports.iter().map(|port| port.number).collect()
        };
        let same_made =
            self.deployed.upstream == deployed.upstream && numbers(&self.deployed) == numbers(deployed);
        let (kept, removed): (Vec<_>, Vec<_>) = self
            .set
            .targets
            .iter()
            .cloned()
            .partition(|target| same_made && deployed.targets.iter().any(|wire| target.is(wire)));
        let targets = deployed.targets.iter().map(|wire| {
            kept.iter().find(|target| target.is(wire)).cloned().unwrap_or_else(|| {
                let target = Target::new(wire, deployed, self.workers);
                if !kept.is_empty() {
                    target.warm_up();
                }
                Arc::new(target)
            })
        });
        let counters = Arc::clone(&self.set.counters);
        let rest = (!removed.is_empty()).then(|| {
            Self::of(
                Arc::clone(&self.set.service),
                &self.deployed,
                removed,
                Arc::clone(&counters),
                self.workers,
            )
        });
        let drain = self.drain.take();
        let targets = targets.collect();
        *self = Self {
            drain,
            ..Self::of(Arc::clone(&self.set.service), deployed, targets, counters, self.workers).watched()
        };
        rest
    }

    /// New requests come here from now on. Targets of which something was already cut can't be used again and are made
    /// anew; they are given back, as what they still have in flight may go on until its limit.
    pub(crate) fn serve(&mut self) -> Option<Self> {
        let drain = self.drain.take()?;
        if !self.set.targets.iter().any(|target| target.was_cut()) {
            return None;
        }
        let counters = Arc::clone(&self.set.counters);
        let targets = new_targets(&self.deployed, self.workers);
        let service = Arc::clone(&self.set.service);
        let anew = Self::of(service, &self.deployed, targets, counters, self.workers).watched();
        Some(Self { watch: None, drain: Some(drain), ..std::mem::replace(self, anew) })
    }

    /// No new requests come here any more; what is in flight is cut after its limit. Said again, it changes nothing.
    pub(crate) fn drain(&mut self, limits: DrainLimits) {
        self.drain.get_or_insert_with(|| Drain::start(&self.set, limits));
    }

    /// Nothing will come here ever again: nobody needs to know whether it is healthy.
    pub(crate) fn give_up(mut self, limits: DrainLimits) -> Self {
        self.watch = None;
        self.drain(limits);
        self
    }

    /// The targets that still have something in flight.
    pub(crate) fn busy(&self) -> impl Iterator<Item = TargetStatus> {
        self.set.targets.iter().map(|target| target.status()).filter(|target| target.in_flight > 0)
    }

    fn of(
        service: Arc<ServiceKey>,
        deployed: &Deployed,
        targets: Vec<Arc<Target>>,
        counters: Arc<Counters>,
        workers: usize,
    ) -> Self {
        let set = TargetSet::new(service, deployed, targets, counters);
        Self { deployed: deployed.clone(), workers, set: Arc::new(set), watch: None, drain: None }
    }

    fn watched(mut self) -> Self {
        let protocol = self.deployed.upstream.application_protocol;
        let health = self.deployed.health.as_ref();
        self.watch = health.map(|check| Watch::start(&self.set.targets, protocol, check));
        self
    }
}

fn new_targets(deployed: &Deployed, workers: usize) -> Vec<Arc<Target>> {
    deployed.targets.iter().map(|wire| Arc::new(Target::new(wire, deployed, workers))).collect()
}
