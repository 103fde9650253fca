use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

use cutover_control::TargetStatus;
use tokio_util::sync::CancellationToken;

use crate::pool::Pool;

/// How long a target that refused a connection comes last in the choice.
const REST: Duration = Duration::from_secs(1);

/// One replica of the application: where it is, how it is, and what it is busy with.
#[derive(Debug)]
pub(crate) struct Target {
    replica: String,
    pool: Pool,
    /// Cancelled when what is in flight must end now.
    cut: CancellationToken,
    in_flight: AtomicU64,
    healthy: AtomicBool,
    made: Instant,
    /// Milliseconds after `made`; 0 when the target never refused a connection.
    rests_until: AtomicU64,
}

/// How willingly a target is chosen; the first is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Nothing speaks against it.
    Ready,
    /// It has just refused a connection.
    Resting,
    /// The active check says that it is down.
    Down,
}

impl Target {
    /// A target that is taken for healthy until a check says otherwise.
    pub(crate) fn new(wire: &cutover_control::Target, workers: usize) -> Self {
        Self {
            replica: wire.replica.clone(),
            pool: Pool::new(wire.address, workers),
            cut: CancellationToken::new(),
            in_flight: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            made: Instant::now(),
            rests_until: AtomicU64::new(0),
        }
    }

    pub(crate) fn is(&self, wire: &cutover_control::Target) -> bool {
        self.is_at(&wire.replica, wire.address)
    }

    pub(crate) fn is_at(&self, replica: &str, address: SocketAddr) -> bool {
        self.replica == replica && self.address() == address
    }

    pub(crate) fn replica(&self) -> &str {
        &self.replica
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.pool.address()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(SeqCst)
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, SeqCst);
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, SeqCst);
    }

    /// Says what the active check found; gives whether that is news.
    pub(crate) fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Relaxed) != healthy
    }

    /// The target has refused a connection: others come first for a while.
    pub(crate) fn rest(&self) {
        let until = (self.made.elapsed() + REST).as_millis();
        self.rests_until.store(u64::try_from(until).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn standing(&self) -> Standing {
        if !self.healthy.load(Relaxed) {
            return Standing::Down;
        }
        match self.rests_until.load(Relaxed) {
            0 => Standing::Ready,
            until if self.made.elapsed() < Duration::from_millis(until) => Standing::Resting,
            _ => Standing::Ready,
        }
    }

    pub(crate) fn status(&self) -> TargetStatus {
        TargetStatus {
            replica: self.replica.clone(),
            address: self.address(),
            healthy: self.healthy.load(Relaxed),
            in_flight: self.in_flight(),
        }
    }
}
