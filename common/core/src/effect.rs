//! What follows from the state of a service: values, for others to carry out.

use serde::{Deserialize, Serialize};

use crate::{DeploymentId, Task, Timestamp};

/// What follows from the state of a service, to be carried out by whoever recorded the last fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Publish work.
    Run(Work),
    /// Write a snapshot.
    Snapshot,
    /// See to it that somebody looks again at this time.
    Wake(Timestamp),
}

/// A work message: a hint that a task is due. It carries no authority; whoever gets it looks in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The protocol that the worker must know.
    pub protocol: u32,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// Which task.
    pub task: Task,
    /// The number of the attempt.
    pub attempt: u32,
}
