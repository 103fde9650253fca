use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cutover_control::TargetStatus;
use tokio_util::sync::CancellationToken;

use crate::flight::{Count, Cut, InFlight, Kind};
use crate::pool::Pool;

/// How long a target that refused a connection comes last in the choice.
const REST: Duration = Duration::from_secs(1);

/// One replica of the application: where it is, how it is, and what it is busy with.
#[derive(Debug)]
pub(crate) struct Target {
    replica: String,
    pool: Pool,
    cut: Cut,
    in_flight: InFlight,
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
            cut: Cut::default(),
            in_flight: InFlight::default(),
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

    /// Cancelled when what is in flight of a kind must end now.
    pub(crate) const fn cut(&self, kind: Kind) -> &CancellationToken {
        self.cut.of(kind)
    }

    /// Whether anything that was in flight had to end.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut.has_begun()
    }

    pub(crate) fn in_flight(&self) -> Count {
        self.in_flight.count()
    }

    pub(crate) fn load(&self) -> u64 {
        self.in_flight.all()
    }

    pub(crate) fn enter(&self) {
        self.in_flight.enter();
    }

    pub(crate) fn becomes(&self, kind: Kind) {
        self.in_flight.becomes(kind);
    }

    pub(crate) fn leave(&self, kind: Kind) {
        self.in_flight.leave(kind);
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
        let count = self.in_flight();
        TargetStatus {
            healthy: self.healthy.load(Relaxed),
            in_flight: count.total(),
            streams: count.streams,
            upgraded: count.upgraded,
            ..TargetStatus::new(&self.replica, self.address())
        }
    }
}
