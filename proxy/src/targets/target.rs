use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cutover_control::TargetStatus;
use tokio_util::sync::CancellationToken;

use super::ejection::{Ejection, Verdict};
use super::endpoints::Endpoints;
use super::flight::{Count, Cut, InFlight, Kind};
use super::slow_start::{Burden, SlowStart};
use crate::control::Deployed;

/// One replica of the application: where it is, how it is, and what it is busy with.
#[derive(Debug)]
pub(crate) struct Target {
    replica: String,
    endpoints: Endpoints,
    cut: Cut,
    in_flight: InFlight,
    healthy: AtomicBool,
    ejection: Ejection,
    slow_start: SlowStart,
    made: Instant,
}

/// How willingly a target is chosen; the first is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Nothing speaks against it.
    Ready,
    /// It has just failed.
    Resting,
    /// It has failed too often, and is left out for a while.
    Ejected,
    /// The active check says that it is down.
    Down,
}

impl Target {
    /// A target of a deployment that is taken for healthy until a check says otherwise.
    pub(crate) fn new(wire: &cutover_control::Target, deployed: &Deployed, workers: usize) -> Self {
        Self {
            replica: wire.replica.clone(),
            endpoints: Endpoints::new(wire.address, deployed, workers),
            cut: Cut::default(),
            in_flight: InFlight::default(),
            healthy: AtomicBool::new(true),
            ejection: Ejection::new(&deployed.upstream.ejection),
            slow_start: SlowStart::default(),
            made: Instant::now(),
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

    /// The one that it is known by, with the first of its ports.
    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoints.own().address()
    }

    pub(crate) const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Closes all connections that have nothing in flight, the others once that has ended.
    pub(crate) fn disconnect(&self) {
        self.endpoints.disconnect();
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

    /// A request was answered.
    pub(crate) fn succeeded(&self) {
        self.ejection.succeeded();
    }

    /// A request has failed: others come first for a while. Gives whether it was one too many.
    pub(crate) fn failed(&self) -> bool {
        self.ejection.failed(self.made.elapsed())
    }

    /// Leaves it out for a while, and says for how long.
    pub(crate) fn eject(&self) -> Duration {
        self.ejection.eject(self.made.elapsed())
    }

    /// A health check that began at a time has passed; gives whether that has brought it back from being left out.
    pub(crate) fn readmit(&self, asked: Instant) -> bool {
        self.ejection.readmit(asked.saturating_duration_since(self.made), self.made.elapsed())
    }

    /// It has joined others that are warm, or has come back: its share grows from now on.
    pub(crate) fn warm_up(&self) {
        self.slow_start.begin(self.made.elapsed());
    }

    /// How much it has to do, where shares grow for a time; `turn` numbers the choice.
    pub(crate) fn burden(&self, slow_start: Option<Duration>, turn: usize) -> Burden {
        match slow_start {
            None => Burden::of(self.load()),
            Some(time) => self.slow_start.burden(self.load(), time, || self.made.elapsed(), turn),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        if !self.healthy.load(Relaxed) {
            return Standing::Down;
        }
        match self.ejection.verdict(|| self.made.elapsed()) {
            Verdict::Well => Standing::Ready,
            Verdict::Resting => Standing::Resting,
            Verdict::Out => Standing::Ejected,
        }
    }

    pub(crate) fn status(&self) -> TargetStatus {
        let count = self.in_flight();
        TargetStatus {
            healthy: self.healthy.load(Relaxed),
            ejected: self.standing() == Standing::Ejected,
            in_flight: count.total(),
            streams: count.streams,
            upgraded: count.upgraded,
            ..TargetStatus::new(&self.replica, self.address())
        }
    }
}
