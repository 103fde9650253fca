use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cutover_control::ServiceKey;
use hyper::header::HeaderMap;

use super::canary::Canary;
use super::marker::Marker;
use super::mirror::Mirror;
use super::sticky::{Stamp, Sticky, WHOLE};
use crate::exchange::{Outgoing, Tries};
use crate::head;
use crate::targets::{Lease, Standing, TargetSet};

/// How new requests are shared between what serves and a canary.
#[derive(Debug)]
pub(crate) struct Split {
    set: Arc<TargetSet>,
    weight: u16,
    /// It was not renewed in time.
    over: AtomicBool,
    sticky: Option<Arc<Sticky>>,
    testers: Option<Marker>,
    mirrored: u16,
    mirror: Arc<Mirror>,
}

/// Where a request goes. It is drawn once, and then only ever goes from the canary to what serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Canary,
    Active,
}

impl Split {
    pub(crate) fn new(
        service: &ServiceKey,
        canary: &Canary,
        set: &Arc<TargetSet>,
        mirror: Arc<Mirror>,
    ) -> Self {
        Self {
            set: Arc::clone(set),
            weight: canary.weight,
            over: AtomicBool::new(false),
            sticky: canary.sticky.then(|| Arc::new(Sticky::new(service, &canary.deployed.deployment))),
            testers: canary.choose.as_ref().and_then(|choice| Marker::new(choice).ok()),
            mirrored: canary.mirror,
            mirror,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Nothing new goes to the canary any more.
    pub(crate) fn end(&self) {
        self.over.store(true, Relaxed);
    }

    /// The weight that is in force.
    pub(crate) fn weight(&self) -> u16 {
        if self.is_over() { 0 } else { self.weight }
    }

    pub(crate) fn mirror(&self) -> &Arc<Mirror> {
        &self.mirror
    }

    /// A target of the canary, where the request goes there. A canary without the port gets none of its requests.
    pub(crate) fn lease(&self, port: Option<u16>, request: &Outgoing, tries: &mut Tries) -> Option<Lease> {
        let side = match tries.side {
            Some(side) => side,
            None if self.is_over() => Side::Active,
            None => {
                let (side, stamp) = self.draw(request.headers());
                tries.stamp = stamp;
                side
            }
        };
        // All are used where all are down, but here others serve.
        let up = |lease: &Lease| lease.target().standing() != Standing::Down;
        let lease = (side == Side::Canary).then(|| self.set.lease(port, tries.tried()).filter(up)).flatten();
        if side == Side::Active && tries.side.is_none() && request.may_be_mirrored() && self.mirrors() {
            tries.reflection = self.mirror.admit(&self.set, port);
        }
        tries.side = Some(if lease.is_some() { Side::Canary } else { Side::Active });
        lease
    }

    fn draw(&self, headers: &HeaderMap) -> (Side, Option<Stamp>) {
        let below = |number: u16| if number < self.weight { Side::Canary } else { Side::Active };
        if self.testers.as_ref().is_some_and(|testers| testers.marks(headers)) {
            return (Side::Canary, None);
        }
        if self.weight == 0 {
            return (Side::Active, None);
        }
        let Some(sticky) = &self.sticky else { return (below(any()), None) };
        match sticky.number(headers) {
            Some(number) => (below(number), None),
            None => {
                let number = any();
                (below(number), Some(sticky.stamp(number, head::is_secure(headers))))
            }
        }
    }

    fn mirrors(&self) -> bool {
        self.mirrored > 0 && !self.is_over() && any() < self.mirrored
    }
}

fn any() -> u16 {
    fastrand::u16(..WHOLE)
}
