//! The new version judged beside the old one, by what the proxies count of both.

use std::future::pending;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cutover_control::{ServiceStatus, SetStatus};
use cutover_core::{CanaryStep, Plan};
use cutover_fleet::key_of;
use cutover_verdict::{
    Action, Counts, Histogram, Incidents, Meter, Moment, Observed, Reading, Round, Terms, Trial, Verdict,
    Window,
};
use cutover_watch::tally::counted;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::record::Record;
use super::{Asking, Driving, Host};
use crate::Error;

/// From one reading of the counts to the next.
const READ_EVERY: Duration = Duration::from_secs(1);
/// The longest time that can be written down.
const FOR_EVER: Duration = Duration::from_millis(u64::MAX);

/// The trial of a new version, over all steps.
pub(super) struct Judging<'a> {
    meter: Meter,
    trial: Trial,
    asking: Option<Asking<'a>>,
    driving: Option<Driving<'a>>,
    /// What was answered so far.
    asked: Mutex<Observed>,
    record: &'a Record<'a>,
    began: Instant,
    heard: Instant,
}

impl<'a> Judging<'a> {
    /// A trial by these terms, whose evidence goes into the record.
    pub(super) fn new(
        terms: Terms,
        asking: Option<Asking<'a>>,
        driving: Option<Driving<'a>>,
        record: &'a Record<'a>,
    ) -> Self {
        let now = Instant::now();
        let (meter, trial, asked) = (Meter::default(), Trial::new(terms), Mutex::default());
        Self { meter, trial, asking, driving, asked, record, began: now, heard: now }
    }

    /// Judges once a second, until the verdict lets the step end that is to hold for that time; none: never by itself. What is known
    /// is told to `said`.
    ///
    /// # Errors
    /// The verdict, once it is that the old version gets all traffic back.
    pub(super) async fn run(
        &mut self,
        plan: &Plan,
        hosts: &[Host<'a>],
        step: (u32, &CanaryStep),
        hold: Option<Duration>,
        said: impl Fn(&Verdict),
    ) -> Result<Verdict, Error> {
        let Self { meter, trial, asking, driving, asked, record, began, heard } = self;
        let (asked, driving) = (&*asked, driving.as_ref());
        let tell = |query: &str, round: Round| {
            record.answered(query, round.clone());
            asked.lock().unwrap_or_else(PoisonError::into_inner).answered(query, [round]);
        };
        let asks = async {
            match asking {
                Some(asking) => asking.run(step, tell).await,
                None => pending().await,
            }
        };
        let drives = async {
            match driving {
                Some(driving) => driving.run(hosts).await,
                None => pending().await,
            }
        };
        let judges = async {
            let entered = Instant::now();
            loop {
                let shown = read(plan, hosts).await;
                if shown.iter().any(Option::is_some) {
                    *heard = Instant::now();
                }
                let readings = readings(plan, hosts, &shown);
                match meter.read(whole_millis(began.elapsed()), readings.clone(), Incidents::default()) {
                    Some(window) => {
                        let (from, to, clients) = (window.from, window.to, window.new.requests);
                        let sent = driving.map(Driving::take).filter(|(new, _)| new.requests > 0);
                        let sent = sent.map(|(new, old)| Window {
                            from,
                            to,
                            new,
                            old,
                            synthetic: true,
                            ..Window::default()
                        });
                        let windows: Vec<_> = std::iter::once(window).chain(sent).collect();
                        windows.iter().for_each(|window| trial.observe(window));
                        record.windows(windows);
                        if let Some(driving) = driving {
                            driving.see(clients, &shown);
                        }
                    }
                    // What the first readings have of the old version is from before.
                    None => know(trial, record, &readings),
                }
                let moment = Moment {
                    elapsed: whole_millis(entered.elapsed()),
                    hold: hold.unwrap_or(FOR_EVER),
                    silent: whole_millis(heard.elapsed()),
                };
                record.judged(moment);
                let verdict = {
                    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                    trial.verdict(moment, &asked.asked)
                };
                match verdict.action {
                    Action::GoBack => return Err(Error::Condemned(Box::new(verdict))),
                    Action::Proceed if hold.is_some() => return Ok(verdict),
                    Action::Proceed | Action::Hold | Action::Drive => said(&verdict),
                }
                sleep(READ_EVERY).await;
            }
        };
        tokio::select! {
            judged = judges => judged,
            never = asks => match never {},
            never = drives => match never {},
        }
    }
}

/// What the proxies show by now, in the order of the hosts. One that doesn't answer is left out, and what it counts meanwhile comes
/// later.
async fn read(plan: &Plan, hosts: &[Host<'_>]) -> Vec<Option<ServiceStatus>> {
    let read = async |host: &Host<'_>| {
        let proxy = host.machine.proxy();
        timeout(READ_EVERY, proxy.service(&plan.key)).await.ok()?.ok()?
    };
    join_all(hosts.iter().map(read)).await
}

/// What they have counted.
fn readings(plan: &Plan, hosts: &[Host<'_>], shown: &[Option<ServiceStatus>]) -> Vec<Reading> {
    let shown = hosts.iter().zip(shown).filter_map(|(host, status)| Some((host, status.as_ref()?)));
    shown.map(|(host, status)| reading(host.machine.name().as_str(), plan, status)).collect()
}

/// Takes in how long the old version's requests took before.
fn know(trial: &mut Trial, record: &Record<'_>, readings: &[Reading]) {
    let known = readings.iter().filter_map(|reading| Some(&reading.old.as_ref()?.latency));
    let before = known.fold(Histogram::default(), |sum, latency| sum.plus(latency));
    trial.know(&before);
    record.before(&before);
}

/// As it is written down: what is judged later is the same.
fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
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
