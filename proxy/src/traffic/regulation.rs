use std::sync::Arc;

use super::gate::Gate;
use super::notice::Notice;
use super::split::Split;
use crate::exchange::{Outgoing, Rejection, Tries};
use crate::routes::Found;
use crate::targets::{Lease, TargetSet};

/// What stands between the new requests of a service and what serves them. Most services have none.
#[derive(Clone, Debug)]
pub(crate) struct Regulation {
    pub(crate) notice: Option<Arc<Notice>>,
    pub(crate) gate: Option<Arc<Gate>>,
    pub(crate) split: Option<Arc<Split>>,
}

impl Regulation {
    pub(crate) fn is_empty(&self) -> bool {
        self.notice.is_none() && self.gate.is_none() && self.split.is_none()
    }

    /// Whether anything stands in the way of a request now. What has ended by itself stays here until something is decided.
    pub(crate) fn regulates(&self) -> bool {
        self.notice.as_ref().is_some_and(|notice| !notice.is_over())
            || self.gate.as_ref().is_some_and(|gate| !gate.is_free())
            || self.split.as_ref().is_some_and(|split| !split.is_over())
    }

    /// Where a request goes, of which the port is known.
    ///
    /// # Errors
    ///
    /// [`Rejection::Maintenance`], [`Rejection::NoTarget`].
    pub(crate) fn lease(
        &self,
        active: Option<&Arc<TargetSet>>,
        port: Option<u16>,
        request: &Outgoing,
        tries: &mut Tries,
    ) -> Result<Found, Rejection> {
        if let Some(notice) = &self.notice
            && !notice.lets_pass(request.headers())
        {
            return Err(Rejection::Maintenance(Arc::clone(notice)));
        }
        if let Some(gate) = &self.gate
            // One that was sent already is in flight, and goes on.
            && tries.tried().is_empty()
            && !tries.has_turn()
            && !gate.is_free()
        {
            return Ok(Found::Gate(Arc::clone(gate)));
        }
        let canary = self.split.as_ref().and_then(|split| split.lease(port, request, tries));
        let active = || -> Option<Lease> { active?.lease(port, tries.tried()) };
        canary.or_else(active).map(Found::Target).ok_or(Rejection::NoTarget)
    }
}
