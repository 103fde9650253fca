use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::counters::Counters;
use super::flight::{Count, Kind};
use super::target::Target;
use super::target_set::TargetSet;
use crate::control::Service;

/// From one look at what is still in flight to the next.
const LOOK: Duration = Duration::from_millis(100);

/// How long what is in flight on displaced targets may go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainLimits {
    requests: Duration,
    /// Streams and upgraded connections.
    others: Duration,
}

/// Targets that get no new requests: what they have in flight goes on until its limit, then it is cut. Dropping this calls
/// the cut off.
#[derive(Debug)]
pub(crate) struct Drain {
    _tasks: JoinSet<()>,
}

impl DrainLimits {
    pub(crate) fn of(service: &Service) -> Self {
        let others = service.drain_streams_ms.unwrap_or(service.drain_ms);
        Self { requests: Duration::from_millis(service.drain_ms), others: Duration::from_millis(others) }
    }
}

impl Drain {
    pub(crate) fn start(set: &TargetSet, limits: DrainLimits) -> Self {
        let mut tasks = JoinSet::new();
        for target in &set.targets {
            // An application that is asked to stop should not have to wait for connections that nobody will use.
            target.disconnect();
            tasks.spawn(drain(Arc::clone(target), Arc::clone(&set.counters), limits));
        }
        Self { _tasks: tasks }
    }
}

async fn drain(target: Arc<Target>, counters: Arc<Counters>, limits: DrainLimits) {
    let mut draining = Draining {
        began: Instant::now(),
        left: target.in_flight().total(),
        most: Count::default(),
        told: false,
        target,
        counters,
    };
    let mut cuts = [(limits.requests, Kind::Request), (limits.others, Kind::Stream)];
    cuts.sort_by_key(|(limit, _)| *limit);
    for (limit, kind) in cuts {
        draining.until(limit).await;
        draining.cut(kind, limit);
    }
    // What was cut is gone a moment later.
    while !draining.look() {
        sleep(LOOK).await;
    }
}

/// A target that is being drained, and what is known of it.
struct Draining {
    target: Arc<Target>,
    counters: Arc<Counters>,
    began: Instant,
    /// What was in flight and has neither ended nor been cut, as far as it has been seen.
    left: u64,
    /// The most of each kind that it has waited for.
    most: Count,
    told: bool,
}

impl Draining {
    /// Looks on until a limit.
    async fn until(&mut self, limit: Duration) {
        let end = self.began + limit;
        while !self.look() && Instant::now() + LOOK < end {
            sleep(LOOK).await;
        }
        // Also where nothing is left: a request that met the old routes may only now be counted.
        sleep_until(end).await;
        self.look();
    }

    /// Counts what has ended since, and gives whether that was all.
    fn look(&mut self) -> bool {
        let count = self.target.in_flight();
        self.most = self.most.max(count);
        self.counters.drained(self.left.saturating_sub(count.total()));
        self.left = self.left.min(count.total());
        let over = count.total() == 0;
        if over {
            // Also those that came back since the last time.
            self.target.disconnect();
        }
        if over && self.most.total() > 0 && !self.told {
            self.told = true;
            let (address, took, waited_for) = (self.target.address(), self.began.elapsed(), self.most);
            tracing::info!(%address, ?took, %waited_for, "drained");
        }
        over
    }

    fn cut(&mut self, kind: Kind, limit: Duration) {
        let count = self.target.in_flight();
        let cut = match kind {
            Kind::Request => Count { requests: count.requests, ..Count::default() },
            Kind::Stream | Kind::Upgraded => Count { requests: 0, ..count },
        };
        if cut.total() > 0 {
            let (address, waited_for) = (self.target.address(), self.most);
            tracing::warn!(%address, ?limit, %cut, %waited_for, "drain limit reached, cutting");
        }
        self.counters.cut(&cut);
        self.left = self.left.saturating_sub(cut.total());
        self.target.cut(kind).cancel();
    }
}
