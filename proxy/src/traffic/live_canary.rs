use std::sync::Arc;

use cutover_control::{CanaryStatus, ServiceKey};

use super::boot_clock::{BootClock, Deadline};
use super::canary::Canary;
use super::expiry::Expiry;
use super::mirror::Mirror;
use super::split::Split;
use crate::targets::LiveSet;

/// A canary as it runs: until it is renewed, or its time is over.
#[derive(Debug)]
pub(crate) struct LiveCanary {
    live: LiveSet,
    split: Arc<Split>,
    held_until: Deadline,
    _expiry: Option<Expiry>,
}

impl LiveCanary {
    pub(crate) fn start(
        service: &ServiceKey,
        canary: &Canary,
        live: LiveSet,
        mirror: Arc<Mirror>,
        clock: &BootClock,
    ) -> Self {
        let split = Arc::new(Split::new(service, canary, live.set(), mirror));
        let left = clock.left(&canary.held_until);
        if left.is_zero() {
            split.end();
        }
        let (ending, service) = (Arc::clone(&split), service.clone());
        let expiry = (!left.is_zero()).then(|| {
            Expiry::after(left, move || {
                ending.end();
                tracing::warn!(%service, "the canary was not renewed in time: everything goes to what serves");
            })
        });
        Self { live, split, held_until: canary.held_until.clone(), _expiry: expiry }
    }

    pub(crate) fn live(&self) -> &LiveSet {
        &self.live
    }

    pub(crate) fn split(&self) -> &Arc<Split> {
        &self.split
    }

    /// What is left of it when something else is decided.
    pub(crate) fn into_parts(self) -> (LiveSet, Arc<Mirror>) {
        (self.live, Arc::clone(self.split.mirror()))
    }

    /// Goes on from what another proxy has counted and found out.
    pub(crate) fn resume(&self, before: &CanaryStatus) {
        if self.live.set().deployment == before.set.deployment {
            self.live.set().resume(&before.set);
            self.split.mirror().resume(&before.mirrored);
        }
    }

    pub(crate) fn status(&self, clock: &BootClock) -> CanaryStatus {
        let held_ms = u64::try_from(clock.left(&self.held_until).as_millis()).unwrap_or(u64::MAX);
        CanaryStatus {
            set: self.live.set().status(),
            weight: self.split.weight(),
            held_ms,
            mirrored: self.split.mirror().status(),
        }
    }
}
