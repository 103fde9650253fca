use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cutover_control::ApplicationProtocol;
use tokio::sync::OwnedSemaphorePermit;

use super::endpoints::Endpoint;
use super::flight::Kind;
use super::pool::Connection;
use super::port::Port;
use super::streams::Place;
use super::target::Target;
use super::target_set::TargetSet;
use crate::exchange::{Rejection, Truncated};
use crate::routes::PathPrefix;

/// One request in flight on a target, at one of its ports. It lives until the response's body has ended or the upgraded
/// connection has closed, and keeps the set that the request began with.
#[derive(Debug)]
pub(crate) struct Lease {
    set: Arc<TargetSet>,
    target: Arc<Target>,
    port: Port,
    kind: Kind,
    /// Where the target's connections are limited.
    slot: Option<OwnedSemaphorePermit>,
    /// On a connection of HTTP/2.
    place: Option<Place>,
    /// What the application is asked without.
    stripped: Option<Arc<PathPrefix>>,
}

impl Lease {
    pub(crate) fn new(set: Arc<TargetSet>, target: Arc<Target>, port: Port) -> Self {
        target.enter();
        Self { set, target, port, kind: Kind::Request, slot: None, place: None, stripped: None }
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
        self.slot = self.target.endpoints().slot(limit).await?;
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

    /// Where the target listens for it.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.target.endpoints().of(self.port)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint().address()
    }

    /// What is spoken there.
    pub(crate) const fn protocol(&self) -> ApplicationProtocol {
        self.port.protocol
    }

    /// A new connection for it; to be called on the worker.
    ///
    /// # Errors
    ///
    /// Of kind [`io::ErrorKind::TimedOut`] when the target does not accept within the limit.
    pub(crate) async fn connect(&self, worker: usize, limit: Duration) -> io::Result<Connection> {
        self.target.endpoints().connect(self.port, worker, limit).await
    }

    /// Keeps its connection for others, as it has been answered.
    pub(crate) fn keep(&self, connection: Connection) {
        self.target.endpoints().keep(self.port, connection);
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
            address = %self.address(),
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
        let address = self.address();
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
