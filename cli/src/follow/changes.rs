//! What has changed from one state of a deployment to the next: a line each, in a pipe.

use std::fmt;
use std::time::Duration;

use cutover_core::{
    Deployment, DeploymentId, Failure, HostName, Output, Progress, Stage, Status, Task, TaskState, Timestamp,
};
use serde::Serialize;

use crate::clock;
use crate::tree::{output, printable, progress};

/// One change of one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Change {
    /// The milliseconds since the Unix epoch at which it came.
    pub(crate) at: Timestamp,
    /// Of which deployment.
    pub(crate) deployment: DeploymentId,
    /// The stage.
    pub(crate) stage: Stage,
    /// The host; none where the stage has one task in all.
    pub(crate) host: Option<HostName>,
    /// Which attempt of this round.
    pub(crate) attempt: u32,
    /// Seconds since the first claim of this round.
    pub(crate) seconds: f64,
    /// What has happened.
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What has happened to a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum What {
    /// A worker has taken it.
    Running {
        /// Which.
        worker: String,
        /// How far it is.
        progress: Option<Progress>,
    },
    /// It is done.
    Finished {
        /// What it made.
        output: Output,
    },
    /// An attempt failed.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether another attempt follows.
        again: bool,
    },
}

/// All changes between two states of the same deployment. Of steps in between that were never seen, only the last is told.
pub(crate) fn changes(before: Option<&Deployment>, after: &Deployment) -> Vec<Change> {
    let before = before.filter(|before| before.id() == after.id());
    let mut changes: Vec<Change> = after
        .tasks()
        .into_iter()
        .filter(|(task, state)| before.map_or_else(TaskState::default, |before| before.state(task)) != *state)
        .filter_map(|(task, state)| change(after, task, &state))
        .collect();
    changes.sort_by_key(|change| change.at);
    changes
}

fn change(deployment: &Deployment, task: Task, state: &TaskState) -> Option<Change> {
    let began = state.began?;
    let (at, what) = match &state.status {
        Status::Waiting => return None,
        Status::Claimed { claim, progress } => {
            let at = if state.claims_in_round == 1 && progress.is_none() { began } else { deployment.last };
            (at, What::Running { worker: claim.worker.clone(), progress: progress.clone() })
        }
        Status::Finished { at, output } => (*at, What::Finished { output: output.clone() }),
        Status::Failed { at, failure } => {
            let again = state.final_failure(task.stage).is_none();
            (*at, What::Failed { failure: failure.clone(), again })
        }
    };
    Some(Change {
        at,
        deployment: deployment.id().clone(),
        stage: task.stage,
        host: task.host,
        attempt: state.claims_in_round,
        seconds: at.since(began).as_secs_f64(),
        what,
    })
}

impl Change {
    /// Whether it only says how far a task is.
    pub(crate) const fn is_progress(&self) -> bool {
        matches!(&self.what, What::Running { progress: Some(_), .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", clock::time_of_day(self.at), self.stage)?;
        if let Some(host) = &self.host {
            write!(f, " {host}")?;
        }
        let took = clock::duration(Duration::from_secs_f64(self.seconds));
        match &self.what {
            What::Running { progress: Some(known), .. } => write!(f, " {}", progress(known, Duration::ZERO)),
            What::Running { .. } if self.attempt > 1 => write!(f, " started, attempt {}", self.attempt),
            What::Running { .. } => write!(f, " started"),
            What::Finished { output: made } => write!(f, " finished in {took}, {}", output(made)),
            What::Failed { failure, again } => {
                let follows = if *again { ", another attempt follows" } else { "" };
                write!(f, " failed after {took}{follows}: {}", printable(&failure.message))?;
                if let Some(hint) = &failure.hint {
                    write!(f, "\n  hint: {}", printable(hint))?;
                }
                failure.tail.iter().try_for_each(|line| write!(f, "\n  | {}", printable(line)))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fixture::{Transcript, output as made, task};

    fn told(before: &Transcript, after: &Transcript) -> Vec<String> {
        let current = |transcript: &Transcript| transcript.service.current.clone().unwrap();
        let changes = changes(Some(&current(before)), &current(after));
        // Without the time of the day, which is that of this machine's zone.
        changes.iter().map(|change| change.to_string().split_off(9)).collect()
    }

    #[test]
    fn each_change_is_one_line() {
        let ship = task(Stage::Ship, 0);
        let begun = || Transcript::deploying_v2(1).done(Stage::Build, 1_200);
        let claimed = || begun().claim(&ship);
        let finished = claimed().wait(400).finish(&ship, made(Stage::Ship));
        assert_eq!(told(&begun(), &claimed()), ["ship 198.18.0.2 started"]);
        assert_eq!(told(&claimed(), &finished), ["ship 198.18.0.2 finished in 0.4 s, 3.1 MB sent"]);
        assert_eq!(told(&begun(), &finished), ["ship 198.18.0.2 finished in 0.4 s, 3.1 MB sent"]);
        assert!(told(&finished, &finished).is_empty());
    }

    #[test]
    fn a_failure_is_told_with_its_hint_and_its_last_lines() {
        let boot = task(Stage::Boot, 0);
        let before = Transcript::deploying_v2(1).through(Stage::Build, Stage::Expand).claim(&boot);
        let failure = Failure::passing("no").hint("yes").tail(vec!["last".to_owned()]);
        let after = Transcript::deploying_v2(1)
            .through(Stage::Build, Stage::Expand)
            .claim(&boot)
            .wait(100)
            .fail(&boot, failure);
        assert_eq!(
            told(&before, &after),
            ["boot 198.18.0.2 failed after 0.1 s, another attempt follows: no\n  hint: yes\n  | last"]
        );
    }

    #[test]
    fn as_json_a_change_is_flat() {
        let ship = task(Stage::Ship, 0);
        let transcript = Transcript::deploying_v2(1)
            .done(Stage::Build, 1_200)
            .claim(&ship)
            .wait(400)
            .finish(&ship, made(Stage::Ship));
        let last = changes(None, transcript.service.current.as_ref().unwrap()).pop().unwrap();
        assert_eq!(
            serde_json::to_string(&last).unwrap(),
            "{\"at\":1001600,\"deployment\":\"01jc00000000000000000k3x9p\",\"stage\":\"ship\",\"host\":\"198.18.0.2\",\
             \"attempt\":1,\"seconds\":0.4,\"status\":\"finished\",\"output\":{\"shipped\":{\"sent\":3149000}}}"
        );
    }
}
