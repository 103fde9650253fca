//! A share of the traffic to the new replicas of all hosts, step by step, watched meanwhile.

mod asking;
mod driving;
mod http;
mod judging;
mod prometheus;
mod record;
mod webhook;

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cutover_bus::Assignment;
use cutover_core::{CanaryStep, Evidence, Failure, Hold, Output, Replica, Span};
use cutover_fleet::{Fleet, Machine, Member};
use cutover_verdict::Verdict;
use cutover_watch::{Part, Watch, Watched, reading};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Error;
use crate::error::reasons;
use crate::restore::restore;
use crate::switch::{canary_call, serving, set_traffic};
use asking::Asking;
use driving::Driving;
use judging::Judging;
use record::Record;

/// For how long a share holds that nobody renews. All of the traffic goes to the old version then: nobody is watching.
const HOLD: Span = Span::seconds(20);
/// From one renewal to the next.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// For how long a host may refuse to renew.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one look whether somebody has promoted it to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Goes through the steps that are left of the canary, and answers with what was seen of it. What the worker before this one
/// was at when it ended is begun anew.
///
/// # Errors
/// At once, where a replica can't serve, more requests fail than may, or the verdict is to go back; after 5 s, where a host can't be reached.
pub(crate) async fn canary(assignment: &Assignment, fleet: &Fleet) -> Result<Output, Failure> {
    let plan = assignment.plan();
    let machines: Vec<Machine> = plan.hosts.iter().map(|spec| fleet.machine(spec)).collect();
    let replicas = |machine: &Machine| assignment.deployment().replicas(machine.name());
    let hosts = machines.iter().map(|machine| Host { machine, replicas: replicas(machine) });
    let record = Record::new(assignment);
    let walk =
        Walk { assignment, hosts: having_another(assignment, hosts.collect()).await?, record: &record };
    record.beside(Box::pin(walk.run())).await.map_err(lasting)
}

/// A host that can't be watched ends a canary, where a soak would wait for it: to go back costs little here.
fn lasting(error: Error) -> Failure {
    let watched = matches!(error, Error::Watch(_));
    let failure = Failure::from(error);
    Failure { retry: failure.retry && !watched, ..failure }
}

/// A host, and the new replicas on it.
#[derive(Clone, Copy)]
struct Host<'a> {
    machine: &'a Machine,
    replicas: &'a [Replica],
}

/// The hosts on which another version serves: where none does, there is nothing to have a share of. What earlier deployments
/// owe there is taken back first, as by a switch.
async fn having_another<'a>(assignment: &Assignment, hosts: Vec<Host<'a>>) -> Result<Vec<Host<'a>>, Error> {
    let (plan, epoch) = (assignment.plan(), &assignment.epoch);
    let looks = hosts.into_iter().map(async |host| {
        for deployment in assignment.service.to_take_back_on(host.machine.name()) {
            restore(host.machine, plan, epoch, deployment).await?;
        }
        let status = host.machine.proxy().service(&plan.key).await?;
        let has_another = serving(status.as_ref()).is_some_and(|other| other != plan.deployment.as_str());
        Ok::<_, Error>(has_another.then_some(host))
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

/// The way through the steps.
struct Walk<'a> {
    assignment: &'a Assignment,
    hosts: Vec<Host<'a>>,
    record: &'a Record<'a>,
}

impl<'a> Walk<'a> {
    async fn run(&self) -> Result<Output, Error> {
        let canary = &self.assignment.plan().release.settings.canary;
        let mut judging = canary.verdict.clone().map(|terms| {
            let driving = Driving::new(self.assignment.plan());
            Judging::new(terms, Asking::new(self.assignment), driving, self.record)
        });
        let (mut seen, mut verdict) = (Evidence::default(), None);
        let reached = self.assignment.deployment().state(&self.assignment.task).reached;
        for (number, step) in (0..).zip(&canary.steps).skip(reached.unwrap_or_default() as usize) {
            if !(self.hosts.is_empty() || self.is_promoted(number).await) {
                let held = Box::pin(self.hold(number, step, judging.as_mut())).await?;
                let (Evidence { requests, errors }, judged) = held;
                verdict = judged.map(Box::new).or(verdict);
                seen.requests = seen.requests.saturating_add(requests);
                seen.errors = seen.errors.saturating_add(errors);
            }
        }
        Ok(Output::Canaried { seen, verdict })
    }

    /// Gives the new replicas their share, and watches them until the step is over: by its time and the verdict, or as somebody
    /// promotes it.
    async fn hold(
        &self,
        number: u32,
        step: &CanaryStep,
        judging: Option<&mut Judging<'a>>,
    ) -> Result<(Evidence, Option<Verdict>), Error> {
        let hosts = self.on(step);
        self.record.say(number, format!("{step}: 0 requests, 0 failed"));
        try_join_all(hosts.iter().map(|host| self.give(host, step))).await?;
        let plan = self.assignment.plan();
        let part = if step.weight == 0 && step.mirror > 0 { Part::Mirror } else { Part::Canary };
        let sidecars = try_join_all(hosts.iter().map(|host| host.machine.new_sidecars(plan))).await?;
        let watched = |(host, sidecars): (&Host<'a>, Vec<String>)| {
            let jobs = Member::early_jobs(plan, host.machine.name()).into_iter().map(|job| job.name);
            Watched { jobs: jobs.chain(sidecars).collect(), ..Watched::new(host.machine, host.replicas) }
        };
        let watch = Watch {
            key: &plan.key,
            deployment: &plan.deployment,
            part,
            from_now_on: true,
            hosts: hosts.iter().zip(sidecars).map(watched).collect(),
            guard: &plan.release.settings.soak,
        };
        let time = match step.hold {
            Hold::For(span) => Some(span.0),
            Hold::Promoted => None,
        };
        let end = time.map(|time| Instant::now() + time);
        // What gets no requests, or all, or no time, has nothing to be judged by.
        let judging = judging.filter(|_| step.is_beside() && time.is_none_or(|time| !time.is_zero()));
        let (standing, mut verdict) = (Mutex::new(String::new()), None);
        let counting = |Evidence { requests, errors }| {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()).as_secs());
            let left = left.map(|left| format!("; {left} s to go")).unwrap_or_default();
            let standing = standing.lock().unwrap_or_else(PoisonError::into_inner);
            self.record.say(number, format!("{step}: {requests} requests, {errors} failed{left}{standing}"));
        };
        let judged = async {
            match (judging, end) {
                (Some(judging), _) => {
                    let tell = |verdict: &Verdict| {
                        let text = format!("; {}: {}", verdict.outcome, reasons(verdict));
                        *standing.lock().unwrap_or_else(PoisonError::into_inner) = text;
                    };
                    verdict = Some(judging.run(plan, hosts, (number, step), time, tell).await?);
                }
                (None, Some(end)) => sleep_until(end).await,
                (None, None) => pending().await,
            }
            Ok(())
        };
        let over = async {
            tokio::select! {
                judged = judged => judged,
                () = self.promoted(number) => Ok(()),
                renewed = self.renew(step) => renewed.map(|never| match never {}),
            }
        };
        let seen = Box::pin(watch.run(over, counting)).await?;
        Ok((seen, verdict))
    }

    /// The hosts on which there is a share in that step.
    fn on(&self, step: &CanaryStep) -> &[Host<'a>] {
        let all = self.hosts.len();
        self.hosts.get(..step.hosts.map_or(all, |hosts| all.min(hosts.into()))).unwrap_or(&self.hosts)
    }

    /// Gives the new replicas of a host their share.
    async fn give(&self, host: &Host<'_>, step: &CanaryStep) -> Result<(), Error> {
        let (plan, epoch) = (self.assignment.plan(), &self.assignment.epoch);
        let call = canary_call(plan, epoch, host.replicas, step, HOLD);
        set_traffic(host.machine, plan, host.replicas, host.machine.proxy().canary(call)).await?;
        Ok(())
    }

    /// Renews the share on all hosts. Returns only where that fails for too long.
    async fn renew(&self, step: &CanaryStep) -> Result<Infallible, Error> {
        let (plan, epoch) = (self.assignment.plan(), &self.assignment.epoch);
        loop {
            sleep(RENEW_EVERY).await;
            let renewals = self.on(step).iter().map(|host| {
                let call = canary_call(plan, epoch, host.replicas, step, HOLD);
                reading(host.machine, "whether its canary goes on", PATIENCE, move || {
                    let call = call.clone();
                    async move { host.machine.proxy().canary(call).await }
                })
            });
            try_join_all(renewals).await?;
        }
    }

    /// Returns once somebody has promoted the step.
    async fn promoted(&self, number: u32) {
        while !self.is_promoted(number).await {
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether somebody has promoted the step. A bus that doesn't answer now does so later; until then it holds.
    async fn is_promoted(&self, number: u32) -> bool {
        let service = self.assignment.service_now().await;
        let current = service.ok().and_then(|service| service.current);
        current.is_some_and(|current| current.promotions.iter().any(|promotion| promotion.ends(number)))
    }
}
