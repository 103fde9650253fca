//! The stages of the prober: probe and soak.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use cutover_bus::{Assignment, Performer};
use cutover_core::{Failure, Output, Progress, Stage};
use cutover_fleet::{Fleet, Machine};
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use crate::{Error, Probe, Soak, Step, Watched};

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
                Ok(Output::Probed { asked: probe(assignment, &machine, step).await? })
            }
            Stage::Soak => Ok(Output::Soaked(self.soak(assignment, step).await?)),
            other => Err(Failure::lasting(format!("{other} is no stage of the prober"))),
        }
    }

    async fn soak(&self, assignment: &Assignment, step: &Step) -> Result<cutover_core::Evidence, Error> {
        let plan = assignment.plan();
        let machines: Vec<Machine> = plan.hosts.iter().map(|spec| self.fleet.machine(spec)).collect();
        let watched = |machine| Watched::new(machine, assignment.deployment().replicas(machine.name()));
        let soak = Soak {
            key: &plan.key,
            deployment: &plan.deployment,
            hosts: machines.iter().map(watched).collect(),
            guard: &plan.release.settings.soak,
            elapsed: elapsed(assignment),
        };
        soak.run(step).await
    }
}

async fn probe(assignment: &Assignment, machine: &Machine, step: &Step) -> Result<u32, Error> {
    let settings = &assignment.plan().release.settings;
    let probe = Probe {
        machine,
        replicas: assignment.deployment().replicas(machine.name()),
        readiness: &settings.readiness,
        protocol: settings.proxy.protocol,
        limit: settings.timeouts.ready,
        elapsed: elapsed(assignment),
    };
    // A host whose proxy would refuse the switch is not ready, and no host switches before every host is.
    let admits = async {
        let admitted = machine.proxy().admits(assignment.key(), &assignment.epoch.journal).await;
        admitted.map_err(|error| Box::new(error).into())
    };
    let (asked, ()) = tokio::try_join!(probe.run(step), admits)?;
    Ok(asked)
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
