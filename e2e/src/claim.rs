//! Who has a task, by the journal.

use cutover_core::{Deployment, Progress, Stage, Status};
use nix::unistd::Pid;

/// The process that has a task of a stage now.
pub fn holder(deployment: &Deployment, stage: Stage) -> Option<Pid> {
    held(deployment, stage, |_| true)
}

/// The same, once the process has told how far it is, and before it can be done.
pub fn at_work(deployment: &Deployment, stage: Stage) -> Option<Pid> {
    held(deployment, stage, |progress| match progress {
        Some(Progress::Bytes { done, total }) => 0 < *done && done < total,
        Some(Progress::Step(_) | Progress::Canary { .. }) => true,
        None => false,
    })
}

/// The same, of one that has told what `is_so` wants.
pub fn held(deployment: &Deployment, stage: Stage, is_so: impl Fn(&Option<Progress>) -> bool) -> Option<Pid> {
    deployment.plan.tasks_of(stage).find_map(|task| match deployment.state(&task).status {
        Status::Claimed { claim, progress } if is_so(&progress) => {
            claim.worker.rsplit(':').next()?.parse().ok().map(Pid::from_raw)
        }
        _ => None,
    })
}

/// How often the task of a stage was claimed that was claimed most often.
pub fn claims(deployment: &Deployment, stage: Stage) -> u32 {
    deployment.plan.tasks_of(stage).map(|task| deployment.state(&task).claims).max().unwrap_or_default()
}
