//! The new version judged beside the old one, by what the proxies count of both.

use std::time::Duration;

use cutover_control::{ServiceStatus, SetStatus};
use cutover_core::Plan;
use cutover_fleet::key_of;
use cutover_verdict::{Action, Counts, Incidents, Meter, Moment, Reading, Terms, Trial, Verdict};
use cutover_watch::tally::counted;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::Host;
use crate::Error;

/// From one reading of the counts to the next.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The trial of a new version, over all steps.
pub(super) struct Judging {
    meter: Meter,
    trial: Trial,
    began: Instant,
    heard: Instant,
}

impl Judging {
    /// A trial by these terms.
    pub(super) fn new(terms: Terms) -> Self {
        let now = Instant::now();
        Self { meter: Meter::default(), trial: Trial::new(terms), began: now, heard: now }
    }

    /// Judges once a second, until the verdict lets the step end that is to hold for that time; none: never by itself. What is known
    /// is told to `said`.
    ///
    /// # Errors
    /// The verdict, once it is that the old version gets all traffic back.
    pub(super) async fn run(
        &mut self,
        plan: &Plan,
        hosts: &[Host<'_>],
        hold: Option<Duration>,
        said: impl Fn(&Verdict),
    ) -> Result<Verdict, Error> {
        let began = Instant::now();
        loop {
            self.read(plan, hosts).await;
            let moment = Moment {
                elapsed: began.elapsed(),
                hold: hold.unwrap_or(Duration::MAX),
                silent: self.heard.elapsed(),
            };
            let verdict = self.trial.verdict(moment, &[]);
            match verdict.action {
                Action::GoBack => return Err(Error::Condemned(Box::new(verdict))),
                Action::Proceed if hold.is_some() => return Ok(verdict),
                Action::Proceed | Action::Hold | Action::Drive => said(&verdict),
            }
            sleep(READ_EVERY).await;
        }
    }

    /// Takes in what the proxies have counted by now. One that doesn't answer is left out, and what it counts meanwhile comes later.
    async fn read(&mut self, plan: &Plan, hosts: &[Host<'_>]) {
        let read = async |host: &Host<'_>| {
            let proxy = host.machine.proxy();
            let status = timeout(READ_EVERY, proxy.service(&plan.key)).await.ok()?.ok()??;
            Some(reading(host.machine.name().as_str(), plan, &status))
        };
        let readings: Vec<Reading> = join_all(hosts.iter().map(read)).await.into_iter().flatten().collect();
        if !readings.is_empty() {
            self.heard = Instant::now();
        }
        let window = self.meter.read(self.began.elapsed(), readings, Incidents::default());
        if let Some(window) = window {
            self.trial.observe(&window);
        }
    }
}

/// What a proxy shows of both versions.
fn reading(host: &str, plan: &Plan, status: &ServiceStatus) -> Reading {
    debug_assert_eq!(status.key, key_of(&plan.key));
    let own = |set: &&SetStatus| set.deployment == plan.deployment.as_str();
    let new = status.canary.as_ref().map(|canary| &canary.set).filter(own);
    let old = status.active.as_ref().filter(|set| !own(set));
    Reading { host: host.to_owned(), new: new.map(counts), old: old.map(counts) }
}

fn counts(set: &SetStatus) -> Counts {
    let evidence = counted(set);
    Counts::new(evidence.requests, evidence.errors, set.latency.iter().copied())
}
