//! Requests that are sent to both versions on a canary's behalf, where clients send too few to judge by.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cutover_control::ServiceStatus;
use cutover_core::{ApplicationProtocol, HttpCheck, Plan, Synthetic};
use cutover_fleet::{Machine, NoAnswer};
use cutover_verdict::Counts;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{MissedTickBehavior, interval};

use super::Host;

/// Sends what is missing, and counts what comes of it.
pub(super) struct Driving<'a> {
    synthetic: &'a Synthetic,
    protocol: ApplicationProtocol,
    known: Mutex<Known>,
}

/// What is known by now.
#[derive(Default)]
struct Known {
    /// How many are still to be sent in this second.
    missing: u64,
    /// How many were sent: which comes next follows from that.
    sent: usize,
    /// Where the old version's replicas are, by host in their order.
    old: Vec<Vec<SocketAddr>>,
    /// What came of the new version's requests since it was taken, and of the old one's.
    counted: (Counts, Counts),
}

/// A request, and whom it is sent to on which host.
struct Pair<'a> {
    request: &'a HttpCheck,
    machine: &'a Machine,
    new: SocketAddr,
    old: SocketAddr,
}

impl<'a> Driving<'a> {
    /// None where nothing is to be sent.
    pub(super) fn new(plan: &'a Plan) -> Option<Self> {
        let settings = &plan.release.settings;
        let synthetic = settings.canary.synthetic.as_deref()?;
        Some(Self { synthetic, protocol: settings.proxy.protocol, known: Mutex::default() })
    }

    /// Takes in how many requests clients have sent to the new version within the last second, and what the hosts show; those that show
    /// nothing get none.
    pub(super) fn see(&self, clients: u64, shown: &[Option<ServiceStatus>]) {
        let mut known = self.known();
        known.missing = self.synthetic.missing(clients);
        known.old = shown.iter().map(|status| status.as_ref().map(old_of).unwrap_or_default()).collect();
    }

    /// What came of the requests to the new and to the old version since this was asked last: of as many of each.
    pub(super) fn take(&self) -> (Counts, Counts) {
        std::mem::take(&mut self.known().counted)
    }

    /// Sends what is missing, evenly over each second, and never more at a time than can be answered within the limit.
    pub(super) async fn run(&self, hosts: &[Host<'a>]) -> Infallible {
        let rate = u32::from(self.synthetic.rate.max(1));
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => open.extend(self.next(hosts).map(|pair| self.send(pair))),
                Some(()) = open.next() => {}
            }
        }
    }

    /// The next one that is missing; none: clients send enough, or there is nobody to send it to.
    fn next(&self, hosts: &[Host<'a>]) -> Option<Pair<'a>> {
        let mut known = self.known();
        known.missing = known.missing.checked_sub(1)?;
        let able =
            hosts.iter().zip(&known.old).filter(|(host, old)| !host.replicas.is_empty() && !old.is_empty());
        let able: Vec<_> = able.collect();
        // Each request goes to each replica of each host in turn.
        let mut turn = known.sent;
        let mut of = |count: usize| {
            let own = turn.checked_rem(count);
            turn = turn.checked_div(count).unwrap_or_default();
            own
        };
        let request = self.synthetic.requests.get(of(self.synthetic.requests.len())?)?;
        let (host, old) = able.get(of(able.len())?)?;
        let new = host.replicas.get(of(host.replicas.len())?)?.address;
        let old = *old.get(known.sent.checked_rem(old.len())?)?;
        let pair = Pair { request, machine: host.machine, new, old };
        known.sent = known.sent.wrapping_add(1);
        Some(pair)
    }

    /// Sends it to both at once, and counts both or neither: so they stay side by side.
    async fn send(&self, pair: Pair<'a>) {
        let limit = self.synthetic.timeout.0;
        let failed = async |address| match pair.machine.ask(address, self.protocol, pair.request, limit).await
        {
            Ok(answer) => Some(answer.judge(pair.request).is_err()),
            Err(error) => says_something(&error).then_some(true),
        };
        if let (Some(new), Some(old)) = tokio::join!(failed(pair.new), failed(pair.old)) {
            let one = |failed| Counts::new(1, u64::from(failed), []);
            let mut known = self.known();
            let (of_new, of_old) = &known.counted;
            known.counted = (of_new.plus(&one(new)), of_old.plus(&one(old)));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether that there is no answer says something of who was asked: not where the question didn't come to the host, or can't be asked.
fn says_something(error: &NoAnswer) -> bool {
    error.retryable() && !error.is_out_of_reach()
}

/// Where the replicas are that serve.
fn old_of(status: &ServiceStatus) -> Vec<SocketAddr> {
    let serving = status.active.iter().flat_map(|set| &set.targets);
    serving.filter(|target| target.healthy && !target.ejected).map(|target| target.address).collect()
}
