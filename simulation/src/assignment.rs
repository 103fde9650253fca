//! A task in the hands of the worker that has claimed it.

use std::rc::Rc;

use cutover_core::{Deployment, DeploymentId, Service, Task};

/// A claimed task, and all that the journal says around it.
pub(crate) struct Assignment {
    pub(crate) task: Task,
    /// The claim's sequence: the epoch of all that is done for it.
    pub(crate) claim: u64,
    pub(crate) service: Rc<Service>,
    pub(crate) deployment: Deployment,
}

impl Assignment {
    /// Whether the claim is the one that its task is done under, wanted or not.
    pub(crate) fn is_in_force(&self, service: &Service) -> bool {
        service.is_in_force(self.deployment.id(), &self.task, self.claim)
    }

    /// Whether it is, and still wanted.
    pub(crate) fn holds(&self, service: &Service) -> bool {
        service.holds(self.deployment.id(), &self.task, self.claim)
    }

    /// Whether it is something that the deployment owes after its end.
    pub(crate) fn is_owed(&self) -> bool {
        is_owed(&self.service, self.deployment.id(), &self.task)
    }
}

/// Whether a task is something that a deployment owes after its end.
pub(crate) fn is_owed(service: &Service, deployment: &DeploymentId, task: &Task) -> bool {
    service.running().is_none_or(|running| running.id() != deployment)
        && service.obligations.iter().any(|owed| owed.deployment == *deployment && owed.task == *task)
}
