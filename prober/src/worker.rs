//! The stages of the prober: probe and soak.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use cutover_bus::{Assignment, Performer};
use cutover_core::{Failure, Output, Plan, Progress, Stage};
use cutover_fleet::{Fleet, Machine, Member};
use cutover_watch::{Part, Watch, Watched};
use futures_util::future::try_join_all;
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use crate::sidecars::Sidecars;
use crate::{Error, Liveness, Probe, Questions, Soak, Steadiness, Step};

/// From one step that is recorded to the next.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Does the probe and soak stages.
#[derive(Debug)]
pub struct Prober {
    fleet: Fleet,
}

impl Prober {
    /// A prober that reaches hosts through `fleet`.
    pub const fn new(fleet: Fleet) -> Self {
        Self { fleet }
    }

    async fn work(&self, assignment: &Assignment, step: &Step) -> Result<Output, Failure> {
        match assignment.task.stage {
            Stage::Probe => {
                let machine = self.fleet.machine(assignment.host()?);
                Ok(Output::Probed { asked: Box::pin(probe(assignment, &machine, step)).await? })
            }
            Stage::Soak => Ok(Output::Soaked(self.soak(assignment, step).await?)),
            other => Err(Failure::lasting(format!("{other} is no stage of the prober"))),
        }
    }

    async fn soak(&self, assignment: &Assignment, step: &Step) -> Result<cutover_core::Evidence, Error> {
        let plan = assignment.plan();
        let machines: Vec<Machine> = plan.hosts.iter().map(|spec| self.fleet.machine(spec)).collect();
        let new_sidecars = machines.iter().map(|machine| machine.new_sidecars(plan));
        let new_sidecars = try_join_all(new_sidecars).await.map_err(Box::new)?;
        let watched = |(machine, sidecars): (_, &Vec<String>)| Watched {
            jobs: [jobs(plan, machine), sidecars.clone()].concat(),
            ..Watched::new(machine, assignment.deployment().replicas(machine.name()))
        };
        let watch = Watch {
            key: &plan.key,
            deployment: &plan.deployment,
            part: Part::Active,
            from_now_on: plan.stages.contains(&Stage::Canary),
            hosts: machines.iter().zip(&new_sidecars).map(watched).collect(),
            guard: &plan.release.settings.soak,
        };
        let settings = &plan.release.settings;
        let mut liveness = Vec::new();
        if let Some(spec) = &settings.probes.liveness {
            liveness.extend(machines.iter().map(|machine| Liveness {
                machine,
                replicas: assignment.deployment().replicas(machine.name()),
                spec,
                protocol: settings.proxy.protocol,
                // They have been asked since they started.
                elapsed: Duration::MAX,
            }));
        }
        Soak { watch, elapsed: elapsed(assignment), liveness }.run(step).await
    }
}

async fn probe(assignment: &Assignment, machine: &Machine, step: &Step) -> Result<u32, Error> {
    let settings = &assignment.plan().release.settings;
    let probe = Probe {
        machine,
        replicas: assignment.deployment().replicas(machine.name()),
        questions: Questions::of(settings),
        protocol: settings.proxy.protocol,
        limit: settings.timeouts.ready,
        elapsed: elapsed(assignment),
    };
    let sidecars = Sidecars::look(machine, assignment.plan()).await?;
    // A host whose proxy would refuse the switch is not ready, and no host switches before every host is.
    let admits = async {
        let admitted = machine.proxy().admits(assignment.key(), &assignment.epoch.journal).await;
        admitted.map_err(|error| Box::new(error).into())
    };
    let early = Member::early_jobs(assignment.plan(), machine.name());
    let steady = early.iter().filter_map(|job| job.role).map(|role| role.steady.0).max().unwrap_or_default();
    let steadiness = Steadiness {
        machine,
        jobs: [jobs(assignment.plan(), machine), sidecars.new_ones()].concat(),
        time: steady.saturating_sub(elapsed(assignment)),
    };
    let steady = async { Ok(steadiness.run().await?) };
    let answering = Box::pin(sidecars.ready(elapsed(assignment)));
    // Replicas that aren't ready in time may only wait for a sidecar, whose time ends with theirs: what is told of that says why.
    let asking = async {
        match probe.run(step).await {
            Err(late @ Error::Late(_)) => Ok(Err(late)),
            asked => asked.map(Ok),
        }
    };
    let ready = async { tokio::try_join!(asking, admits, steady, answering) };
    let (asked, (), (), more) = tokio::select! {
        ready = ready => ready?,
        // Also those that were steady, while the others are not ready yet.
        trouble = steadiness.first_trouble() => return Err(trouble.into()),
    };
    Ok(asked? + more)
}

/// The new replicas on a host that get no traffic, as far as they run before the old ones end.
fn jobs(plan: &Plan, machine: &Machine) -> Vec<String> {
    Member::early_jobs(plan, machine.name()).into_iter().map(|job| job.name).collect()
}

/// How long other workers have been at the task before this one, all by the clock of the journal's server: the last fact
/// that this worker knows is its own claim, or came after it.
fn elapsed(assignment: &Assignment) -> Duration {
    assignment.deployment().last.since(assignment.began())
}

impl Performer for Prober {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        let step = Step::default();
        tokio::select! {
            ended = self.work(assignment, &step) => ended,
            never = tell(assignment, step.listen()) => match never {},
        }
    }
}

/// Records what is being done, as long as it is.
async fn tell(assignment: &Assignment, mut steps: Receiver<String>) -> Infallible {
    while steps.changed().await.is_ok() {
        let step = steps.borrow_and_update().clone();
        assignment.progress(Progress::Step(step)).await;
        sleep(TELL_EVERY).await;
    }
    pending().await
}
