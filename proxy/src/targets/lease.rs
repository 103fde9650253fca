use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::flight::Kind;
use super::streams::Place;
use super::target::Target;
use super::target_set::TargetSet;
use crate::exchange::{Rejection, Truncated};
use crate::routes::PathPrefix;

/// One request in flight on a target. It lives until the response's body has ended or the upgraded connection has
/// closed, and keeps the set that the request began with.
#[derive(Debug)]
pub(crate) struct Lease {
    set: Arc<TargetSet>,
    target: Arc<Target>,
    kind: Kind,
    /// Where the target's connections are limited.
    slot: Option<OwnedSemaphorePermit>,
    /// On a connection of HTTP/2.
    place: Option<Place>,
    /// What the application is asked without.
    stripped: Option<Arc<PathPrefix>>,
}

impl Lease {
    pub(crate) fn new(set: Arc<TargetSet>, target: Arc<Target>) -> Self {
        target.enter();
        Self { set, target, kind: Kind::Request, slot: None, place: None, stripped: None }
    }

    /// The same for a request whose path begins with a prefix that the application is asked without.
    pub(crate) fn stripping(mut self, prefix: &Arc<PathPrefix>) -> Self {
        self.stripped = Some(Arc::clone(prefix));
        self
    }

    /// Waits for the right to use one of the target's connections, which it has until the request has ended.
    ///
    /// # Errors
    ///
    /// [`Rejection::Busy`] when none gets free within the limit.
    pub(crate) async fn take_slot(&mut self, limit: Duration) -> Result<(), Rejection> {
        self.slot = self.target.pool().slot(limit).await?;
        Ok(())
    }

    /// The request has its place on a connection until it has ended.
    pub(crate) fn hold(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// The request won't be answered by this target.
    pub(crate) fn leave_slot(&mut self) {
        self.slot = None;
        self.place = None;
    }

    /// The request has turned out to be more than that.
    pub(crate) fn becomes(&mut self, kind: Kind) {
        if self.kind == Kind::Request {
            self.kind = kind;
            self.target.becomes(kind);
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn set(&self) -> &TargetSet {
        &self.set
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Where the request goes, for the access log.
    pub(crate) fn whom(&self) -> (Arc<TargetSet>, Arc<Target>) {
        (Arc::clone(&self.set), Arc::clone(&self.target))
    }

    /// The target has not answered, so the proxy did.
    pub(crate) fn unanswered(&self, rejection: &Rejection, request_id: &str, took: Duration) {
        self.set.counters.unanswered(took);
        tracing::warn!(
            service = %self.set.service,
            replica = self.target.replica(),
            address = %self.target.address(),
            deployment = self.set.deployment,
            request_id,
            cause = rejection.source().map(tracing::field::display),
            "{}: {rejection}",
            rejection.status().as_u16()
        );
    }

    /// The target's answer has ended before its end; it counts unless it was an error in any case.
    pub(crate) fn broke(&self, why: Truncated, counts: bool) -> Truncated {
        if counts {
            self.set.counters.cut_off();
        }
        let address = self.target.address();
        tracing::warn!(%address, cause = why.source().map(tracing::field::display), "{why}");
        why
    }

    pub(crate) fn stripped(&self) -> Option<&PathPrefix> {
        self.stripped.as_deref()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.target.leave(self.kind);
    }
}
