//! What writers and readers were told: the checker holds the log to it.

use std::sync::{Arc, Mutex};

use cutover_core::{Decision, DeploymentId, Service, ServiceKey, Task};

/// Notes that are taken while the servers are killed. Clones write on the same sheet.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Sheet>>);

#[derive(Clone, Default)]
pub(crate) struct Sheet {
    /// Decisions that were taken, as the journal said.
    pub(crate) decided: Vec<(ServiceKey, Decision)>,
    /// Decisions that were refused, for a reason that the log gives.
    pub(crate) refused: usize,
    /// Decisions of which nobody knows, as the bus failed.
    pub(crate) unknown: Vec<String>,
    /// Claims that a worker began to work under.
    pub(crate) claimed: Vec<(DeploymentId, Task, u64)>,
    /// Services as they were read.
    pub(crate) seen: Vec<(ServiceKey, Service)>,
}

impl Notes {
    pub(crate) fn decided(&self, key: &ServiceKey, decision: Decision) {
        self.0.lock().unwrap().decided.push((key.clone(), decision));
    }

    pub(crate) fn refused(&self) {
        self.0.lock().unwrap().refused += 1;
    }

    pub(crate) fn unknown(&self, error: &cutover_bus::Error) {
        self.0.lock().unwrap().unknown.push(error.to_string());
    }

    pub(crate) fn claimed(&self, deployment: &DeploymentId, task: &Task, claim: u64) {
        self.0.lock().unwrap().claimed.push((deployment.clone(), task.clone(), claim));
    }

    pub(crate) fn seen(&self, key: &ServiceKey, service: &Service) {
        self.0.lock().unwrap().seen.push((key.clone(), service.clone()));
    }

    /// All of them.
    pub(crate) fn sheet(&self) -> Sheet {
        self.0.lock().unwrap().clone()
    }
}
