use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cutover_control::Upstream;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::exchange::{Rejection, RequestBody};
use crate::relay::{Kept, connect};

/// Idle connections of a worker beyond this many are closed, the longest idle first.
pub(crate) const MAX_IDLE: usize = 256;

/// How long a connection may take to be free again after the response that it delivered has ended.
const SETTLE_LIMIT: Duration = Duration::from_millis(20);

/// A connection that was idle for longer is not used again.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The silence after which the kernel asks whether the peer of a connection is still there.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(60);

/// The kept-alive connections to one target, those of each worker apart.
///
/// An application may close an idle connection at any moment, also the very one in which a request is being written
/// to it; the request is then lost without anybody knowing whether it was seen. So only what can be sent again is sent
/// over a kept connection (RFC 9110, 9.2.2 and RFC 9112, 9.3.1): requests with an idempotent method and no body.
/// All others get a connection of their own, which the application is asked to close.
#[derive(Debug)]
pub(crate) struct Pool {
    address: SocketAddr,
    /// By worker. Nobody ever waits for such a lock but one who clears the pool, or who keeps to its limits.
    idle: Box<[Mutex<VecDeque<Idle>>]>,
    /// Idle connections of all workers together.
    max_idle: Option<usize>,
    slots: Option<Slots>,
    /// Those of the short way.
    kept: Kept,
}

/// The connections in use that a target may have at once. Who waits for one gets it in order.
#[derive(Debug)]
struct Slots {
    free: Arc<Semaphore>,
    all: usize,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection to a target, for one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<RequestBody>,
    /// Whether it has carried a request before.
    pub(crate) reused: bool,
    /// The worker whose runtime drives it.
    worker: usize,
}

impl Pool {
    pub(crate) fn new(address: SocketAddr, upstream: &Upstream, workers: usize) -> Self {
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let slots = upstream.max_connections.map(size);
        Self {
            address,
            idle: (0..workers).map(|_| Mutex::default()).collect(),
            kept: Kept::new(workers),
            max_idle: upstream.max_idle.map(size),
            slots: slots.map(|all| Slots { free: Arc::new(Semaphore::new(all)), all }),
        }
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

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// A kept connection of a worker that is still open as far as is known, the most recently used first.
    pub(crate) async fn reuse(&self, worker: usize) -> Option<Connection> {
        loop {
            let mut sender = self.pop(worker)?;
            // The task that drives a connection may be a moment behind the response that it has delivered.
            if sender.is_ready() || matches!(timeout(SETTLE_LIMIT, sender.ready()).await, Ok(Ok(()))) {
                return Some(Connection { sender, reused: true, worker });
            }
        }
    }

    /// A new connection; to be called on the worker.
    ///
    /// # Errors
    ///
    /// Of kind [`io::ErrorKind::TimedOut`] when the target does not accept within the limit.
    pub(crate) async fn connect(&self, worker: usize, limit: Duration) -> io::Result<Connection> {
        self.make_room();
        let stream = connect(self.address, limit).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        Ok(Connection { sender, reused: false, worker })
    }

    /// Keeps a connection whose response has ended.
    pub(crate) fn keep(&self, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        if self.max_idle.is_some_and(|most| self.idle_connections() >= most) {
            return;
        }
        let since = Instant::now();
        let Some(mut idle) = self.idle(connection.worker) else { return };
        while idle.len() >= MAX_IDLE || idle.front().is_some_and(|oldest| oldest.is_spent(since)) {
            idle.pop_front();
        }
        idle.push_back(Idle { sender: connection.sender, since });
    }

    /// Closes idle connections of other workers, where one more would be too many.
    fn make_room(&self) {
        let Some(Slots { free, all }) = &self.slots else { return };
        while self.idle_connections() + all.saturating_sub(free.available_permits()) > *all {
            if !self.idle.iter().any(|idle| lock(idle).pop_front().is_some()) {
                return;
            }
        }
    }

    fn idle_connections(&self) -> usize {
        self.idle.iter().map(|idle| lock(idle).len()).sum()
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        self.idle.iter().for_each(|idle| lock(idle).clear());
        self.kept.clear();
    }

    fn pop(&self, worker: usize) -> Option<SendRequest<RequestBody>> {
        let now = Instant::now();
        let mut idle = self.idle(worker)?;
        while let Some(newest) = idle.pop_back() {
            if !newest.is_spent(now) {
                return Some(newest.sender);
            }
        }
        None
    }

    fn idle(&self, worker: usize) -> Option<MutexGuard<'_, VecDeque<Idle>>> {
        self.idle.get(worker).map(lock)
    }
}

fn lock(idle: &Mutex<VecDeque<Idle>>) -> MutexGuard<'_, VecDeque<Idle>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Idle {
    fn is_spent(&self, now: Instant) -> bool {
        self.sender.is_closed() || now.saturating_duration_since(self.since) > IDLE_LIMIT
    }
}
