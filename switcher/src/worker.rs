//! The stages of the switcher: canary, switch and restore.

use cutover_bus::{Assignment, Performer};
use cutover_core::{Failure, Output, Stage};
use cutover_fleet::Fleet;
use cutover_secrets::Stores;

use crate::canary::canary;
use crate::own_certificate::certify;
use crate::restore::restore;
use crate::switch::switch;

/// Does the canary, switch and restore stages.
#[derive(Debug)]
pub struct Switcher {
    fleet: Fleet,
    stores: Stores,
}

impl Switcher {
    /// A switcher that reaches hosts through `fleet`, and has its secrets from `stores`.
    pub const fn new(fleet: Fleet, stores: Stores) -> Self {
        Self { fleet, stores }
    }
}

impl Performer for Switcher {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        if assignment.task.stage == Stage::Canary {
            return Box::pin(canary(assignment, &self.fleet)).await;
        }
        let (plan, epoch) = (assignment.plan(), &assignment.epoch);
        let machine = self.fleet.machine(assignment.host()?);
        match assignment.task.stage {
            Stage::Switch => {
                for deployment in assignment.service.to_take_back_on(machine.name()) {
                    restore(&machine, plan, epoch, deployment).await?;
                }
                certify(&machine, plan, &self.stores).await?;
                let replicas = assignment.deployment().replicas(machine.name());
                let previous = switch(&machine, plan, epoch, replicas).await?;
                Ok(Output::Switched { previous })
            }
            Stage::Restore => {
                Ok(Output::Restored { serving: restore(&machine, plan, epoch, &plan.deployment).await? })
            }
            other => Err(Failure::lasting(format!("{other} is no stage of the switcher"))),
        }
    }
}
