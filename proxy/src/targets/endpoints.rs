use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::pool::{Connection, Pool};
use super::port::Port;
use super::streams::Streams;
use crate::control::Deployed;
use crate::exchange::Rejection;

/// Where a target listens, and the connections to each of its ports. Their number is limited for all ports together.
#[derive(Debug)]
pub(crate) struct Endpoints {
    own: Endpoint,
    further: Box<[Endpoint]>,
    /// Idle connections.
    max_idle: Option<usize>,
    slots: Option<Slots>,
}

/// One port of a target.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    pool: Pool,
    /// Where it speaks HTTP/2.
    streams: Streams,
}

/// The connections in use that a target may have at once. Who waits for one gets it in order.
#[derive(Debug)]
struct Slots {
    free: Arc<Semaphore>,
    all: usize,
}

impl Endpoints {
    pub(crate) fn new(own: SocketAddr, deployed: &Deployed, workers: usize) -> Self {
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let slots = deployed.upstream.max_connections.map(size);
        let further = deployed.claims.ports.iter().map(|port| SocketAddr::new(own.ip(), port.number));
        Self {
            own: Endpoint::new(own, workers),
            further: further.map(|address| Endpoint::new(address, workers)).collect(),
            max_idle: deployed.upstream.max_idle.map(size),
            slots: slots.map(|all| Slots { free: Arc::new(Semaphore::new(all)), all }),
        }
    }

    /// The one of the target's address.
    pub(crate) const fn own(&self) -> &Endpoint {
        &self.own
    }

    pub(crate) fn of(&self, port: Port) -> &Endpoint {
        port.further.and_then(|at| self.further.get(at)).unwrap_or(&self.own)
    }

    /// The right to use a connection, where their number is limited.
    ///
    /// # Errors
    ///
    /// [`Rejection::Busy`] when none gets free within the limit.
    pub(crate) async fn slot(&self, limit: Duration) -> Result<Option<OwnedSemaphorePermit>, Rejection> {
        let Some(slots) = &self.slots else { return Ok(None) };
        let free = timeout(limit, Arc::clone(&slots.free).acquire_owned());
        match free.await {
            Ok(Ok(slot)) => Ok(Some(slot)),
            Ok(Err(_)) | Err(_) => Err(Rejection::Busy),
        }
    }

    /// A new connection; to be called on the worker.
    ///
    /// # Errors
    ///
    /// Of kind [`io::ErrorKind::TimedOut`] when the target does not accept within the limit.
    pub(crate) async fn connect(&self, port: Port, worker: usize, limit: Duration) -> io::Result<Connection> {
        self.make_room();
        self.of(port).pool.connect(worker, limit).await
    }

    /// Keeps a connection to a port whose response has ended.
    pub(crate) fn keep(&self, port: Port, connection: Connection) {
        if self.max_idle.is_none_or(|most| self.idle_connections() < most) {
            self.of(port).pool.keep(connection);
        }
    }

    /// Closes all connections that have nothing in flight, the others once that has ended.
    pub(crate) fn disconnect(&self) {
        for endpoint in self.all() {
            endpoint.pool.clear();
            endpoint.streams.clear();
        }
    }

    /// Closes idle connections, also of other workers and ports, where one more would be too many.
    fn make_room(&self) {
        let Some(Slots { free, all }) = &self.slots else { return };
        while self.idle_connections() + all.saturating_sub(free.available_permits()) > *all {
            if !self.all().any(|endpoint| endpoint.pool.close_one()) {
                return;
            }
        }
    }

    fn idle_connections(&self) -> usize {
        self.all().map(|endpoint| endpoint.pool.idle_connections()).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.own).chain(&self.further)
    }
}

impl Endpoint {
    fn new(address: SocketAddr, workers: usize) -> Self {
        Self { address, pool: Pool::new(address, workers), streams: Streams::new(address, workers) }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) const fn streams(&self) -> &Streams {
        &self.streams
    }
}
