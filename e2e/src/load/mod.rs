//! An open-loop load generator: it asks by a schedule, however late the answers are, so that what a stall costs the
//! users is counted instead of waited out (no coordinated omission).

mod client;
mod connection;
mod latencies;
mod pace;
mod report;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

pub use self::latencies::Latencies;
pub use self::report::{Failure, FailureKind, LoadReport, VersionReport};

use self::client::Client;
use self::pace::Pace;
use self::report::Tally;

/// Whom to ask for what, and how often.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The path, with its query, of the GET requests.
    pub path: String,
    /// Requests per second, at even distances; at least 1.
    pub rate: u32,
    /// The most requests at a time, each on its own connection. One that is over it waits, and its latency grows.
    pub connections: usize,
    /// The longest that a request may take, from the time it was scheduled for.
    pub timeout: Duration,
    /// Every so many requests, one has a connection of its own, as a new user would: 10 is a share of 10 %; 0 is never.
    pub fresh_every: u64,
}

impl LoadPlan {
    /// `GET /` 500 times a second on at most 64 connections, every tenth on one of its own, with 10 s for each.
    #[must_use]
    pub fn new(address: SocketAddr, host: impl Into<String>) -> Self {
        Self {
            address,
            host: host.into(),
            path: "/".to_owned(),
            rate: 500,
            connections: 64,
            timeout: Duration::from_secs(10),
            fresh_every: 10,
        }
    }
}

/// A load that runs until it is stopped, or dropped.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Tally>,
    stop: Option<oneshot::Sender<()>>,
    schedule: JoinHandle<()>,
}

impl Load {
    /// Sends the first request now and the others after it, by the plan.
    #[must_use]
    pub fn start(plan: LoadPlan) -> Self {
        let tally = Arc::new(Tally::new());
        let (stop, stopped) = oneshot::channel();
        let schedule = tokio::spawn(run(plan, tally.clone(), stopped));
        Self { tally, stop: Some(stop), schedule }
    }

    /// What has been seen so far; what is in flight counts as sent only.
    #[must_use]
    pub fn snapshot(&self) -> LoadReport {
        self.tally.report()
    }

    /// Sends nothing more, waits for what is in flight (no longer than the plan's timeout), and reports.
    pub async fn stop(mut self) -> LoadReport {
        if let Some(stop) = self.stop.take() {
            // It fails only where the schedule has ended by itself, which it does not.
            let _ = stop.send(());
        }
        let _ = (&mut self.schedule).await;
        self.tally.report()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.schedule.abort();
    }
}

async fn run(plan: LoadPlan, tally: Arc<Tally>, mut stopped: oneshot::Receiver<()>) {
    let interval = Duration::from_secs(1) / plan.rate.max(1);
    let client = Arc::new(Client::new(plan));
    let mut pace = Pace::new();
    let mut in_flight = JoinSet::new();
    let mut scheduled = Instant::now();
    for number in 0_u64.. {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            () = pace.until(scheduled) => {}
        }
        while in_flight.try_join_next().is_some() {}
        tally.sent();
        let (client, tally) = (client.clone(), tally.clone());
        in_flight.spawn(async move {
            let outcome = client.get(number, scheduled).await;
            tally.settled(scheduled, outcome);
        });
        scheduled += interval;
    }
    in_flight.join_all().await;
}
