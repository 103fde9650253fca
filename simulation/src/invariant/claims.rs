//! Claims: who may do something.

use cutover_core::{DeploymentId, Service, Task, Timestamp};

use super::{Violation, require};
use crate::assignment::Assignment;
use crate::watch::Watch;

/// Whoever changes anything has claimed the task, and the claim was in force when it was stored.
pub(crate) fn an_effect_has_a_claim(watch: &Watch, assignment: &Assignment) -> Result<(), Violation> {
    require(watch.was_in_force(assignment), "an effect has a claim", || {
        format!("{} is done by claim {}, which is void", assignment.task, assignment.claim)
    })
}

/// A claim is worked on by one slot of one process.
pub(crate) fn a_claim_has_one_holder(
    assignment: &Assignment,
    first: Option<&(String, usize)>,
    second: &(String, usize),
) -> Result<(), Violation> {
    require(first.is_none(), "a claim has one holder", || {
        format!("{first:?} and {second:?} do {} by claim {}", assignment.task, assignment.claim)
    })
}

/// What a worker says whose claim is not in force, or not any more, changes nothing.
pub(crate) fn an_outlived_worker_changes_nothing(
    before: &Service,
    deployment: &DeploymentId,
    task: &Task,
    claim: u64,
    changed: bool,
) -> Result<(), Violation> {
    let in_force = before.state(deployment, task).in_force == claim;
    require(in_force || !changed, "an outlived worker changes nothing", || {
        format!("{task} by claim {claim} did")
    })
}

/// Nobody takes a lease while another may still believe that it has it.
pub(crate) fn a_lease_has_one_holder(
    before: Option<&(String, Timestamp)>,
    process: &str,
    now: Timestamp,
) -> Result<(), Violation> {
    let held = before.filter(|(holder, until)| holder != process && *until > now);
    require(held.is_none(), "a lease has one holder", || format!("{process} takes it, and {held:?} has it"))
}
