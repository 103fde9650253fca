use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::exchange::RequestBody;
use crate::relay::{Kept, connect};

/// Idle connections of a worker beyond this many are closed, the longest idle first.
pub(crate) const MAX_IDLE: usize = 256;

/// How long a connection may take to be free again after the response that it delivered has ended.
const SETTLE_LIMIT: Duration = Duration::from_millis(20);

/// A connection that was idle for longer is not used again.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The silence after which the kernel asks whether the peer of a connection is still there.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(60);

/// The kept-alive connections to one port of a target, those of each worker apart.
///
/// An application may close an idle connection at any moment, also the very one in which a request is being written
/// to it; the request is then lost without anybody knowing whether it was seen. So only what can be sent again is sent
/// over a kept connection (RFC 9110, 9.2.2 and RFC 9112, 9.3.1): requests with an idempotent method and no body.
/// All others get a connection of their own, which the application is asked to close.
#[derive(Debug)]
pub(crate) struct Pool {
    address: SocketAddr,
    /// By worker. Nobody ever waits for such a lock but one who clears the pool, or who keeps to the target's limits.
    idle: Box<[Mutex<VecDeque<Idle>>]>,
    /// Those of the short way.
    kept: Kept,
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
    pub(crate) fn new(address: SocketAddr, workers: usize) -> Self {
        Self { address, idle: (0..workers).map(|_| Mutex::default()).collect(), kept: Kept::new(workers) }
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
        let since = Instant::now();
        let Some(mut idle) = self.idle(connection.worker) else { return };
        while idle.len() >= MAX_IDLE || idle.front().is_some_and(|oldest| oldest.is_spent(since)) {
            idle.pop_front();
        }
        idle.push_back(Idle { sender: connection.sender, since });
    }

    /// Closes an idle connection of any worker; gives whether there was one.
    pub(crate) fn close_one(&self) -> bool {
        self.idle.iter().any(|idle| lock(idle).pop_front().is_some())
    }

    pub(crate) fn idle_connections(&self) -> usize {
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
