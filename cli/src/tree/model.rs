//! From the state of a service to the rows of the tree. Pure: the time comes in.

use std::time::Duration;

use cutover_core::{
    Deployment, Failure, Intent, Output, Program, Service, Stage, Status, Task, TaskState, Timestamp,
};

use super::ending::{Ending, ended};
use super::facts::{count, output, printable, progress, together};
use crate::clock;

/// A deployment to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// What goes where.
    pub(super) title: String,
    /// Which deployment it is, by whom, for how long.
    pub(super) subtitle: String,
    /// Stages and hosts.
    pub(super) rows: Vec<Row>,
    /// How it ended, once it has.
    pub(super) ending: Option<Ending>,
}

/// A stage, or a host beneath it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) is_host: bool,
    pub(super) mark: Mark,
    pub(super) label: String,
    /// From the first claim on; none before it.
    pub(super) elapsed: Option<Duration>,
    pub(super) facts: String,
    pub(super) failure: Option<Failure>,
}

/// Where a stage or a host's task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Waiting,
    Running,
    Again,
    Done,
    Failed,
    TakenBack,
}

impl Tree {
    /// The tree of the service's running or last deployment; none where there never was one. `missing` are programs that
    /// nobody runs.
    pub(crate) fn of(service: &Service, now: Timestamp, missing: &[Program]) -> Option<Self> {
        let deployment = service.current.as_ref()?;
        let plan = &deployment.plan;
        let ending = deployment.outcome().map(|outcome| ended(service, deployment, outcome));
        let until = if ending.is_some() { deployment.last } else { now };
        let again =
            if deployment.round > 1 { format!(", round {}", deployment.round) } else { String::new() };
        let abort =
            deployment.abort.as_ref().map(|abort| format!(", aborted by {}", abort.by)).unwrap_or_default();
        let back = if plan.intent == Intent::Rollback { "back to " } else { "" };
        Some(Self {
            title: format!(
                "{} → {}   {back}{} (release {})",
                plan.key.service,
                plan.key.destination,
                plan.release.version,
                plan.release.id()
            ),
            subtitle: format!(
                "deployment {} by {}, {}{again}{abort}",
                deployment.id().short(),
                plan.by,
                clock::duration(until.since(deployment.round_at)),
            ),
            rows: rows(deployment, now, missing),
            ending,
        })
    }
}

fn rows(deployment: &Deployment, now: Timestamp, missing: &[Program]) -> Vec<Row> {
    let tasks = deployment.tasks();
    let due: Vec<Task> = deployment.due().into_iter().map(|due| due.task).collect();
    tasks
        .chunk_by(|one, next| one.0.stage == next.0.stage)
        .flat_map(|tasks| {
            let rows: Vec<Row> = tasks
                .iter()
                .map(|(task, state)| {
                    let lacks = due.contains(task) && missing.contains(&task.stage.program());
                    task_row(deployment, task, state, now, lacks.then(|| task.stage.program()))
                })
                .collect();
            let Some((first, _)) = tasks.first() else { return Vec::new() };
            stage_with_hosts(first.stage, tasks, rows)
        })
        .collect()
}

/// One row where there is one task; else the stage, and its hosts while they differ.
fn stage_with_hosts(stage: Stage, tasks: &[(Task, TaskState)], mut rows: Vec<Row>) -> Vec<Row> {
    if rows.len() == 1 {
        for row in &mut rows {
            let host = std::mem::replace(&mut row.label, stage.to_string());
            let named = stage.per_host() && matches!(row.mark, Mark::Running | Mark::Failed | Mark::Again);
            if named {
                row.facts = if row.facts.is_empty() { host } else { format!("{host}: {}", row.facts) };
            }
            row.is_host = false;
        }
        return rows;
    }
    let is = |mark: Mark| rows.iter().filter(|row| row.mark == mark).count();
    let done = is(Mark::Done) + is(Mark::TakenBack);
    let settled = done == rows.len() || is(Mark::Waiting) == rows.len();
    let mark = if is(Mark::Failed) > 0 {
        Mark::Failed
    } else if done == rows.len() {
        if stage.takes_back() { Mark::TakenBack } else { Mark::Done }
    } else if is(Mark::Waiting) == rows.len() {
        Mark::Waiting
    } else {
        Mark::Running
    };
    let outputs: Vec<&Output> = tasks
        .iter()
        .filter_map(|(_, state)| match &state.status {
            Status::Finished { output, .. } => Some(output),
            _ => None,
        })
        .collect();
    let facts = if done == rows.len() {
        let hosts = count(rows.len() as u64, "host", "hosts");
        format!("{}, {hosts}", together(&outputs))
    } else if settled {
        // All wait for the same, if for anything.
        rows.first().map(|row| row.facts.clone()).unwrap_or_default()
    } else {
        format!("{done} of {}", count(rows.len() as u64, "host", "hosts"))
    };
    let row = Row {
        is_host: false,
        mark,
        label: stage.to_string(),
        elapsed: rows.iter().filter_map(|row| row.elapsed).max(),
        facts,
        failure: None,
    };
    let hosts = if settled { Vec::new() } else { rows };
    std::iter::once(row).chain(hosts).collect()
}

fn task_row(
    deployment: &Deployment,
    task: &Task,
    state: &TaskState,
    now: Timestamp,
    lacks: Option<Program>,
) -> Row {
    let last_failure = state.final_failure(task.stage);
    let (mark, end, text, failure) = match &state.status {
        Status::Waiting => {
            let text = lacks.map(|program| format!("waits: no {program} is running")).unwrap_or_default();
            (Mark::Waiting, None, text, None)
        }
        Status::Claimed { progress: known, .. } => {
            let soak = deployment.plan.release.settings.soak.time.0;
            let text = match (known, state.began) {
                (Some(known), began) => {
                    progress(known, began.map_or(Duration::ZERO, |began| now.since(began)))
                }
                (None, Some(began)) if task.stage == Stage::Soak => {
                    format!("{} of {}", clock::duration(now.since(began).min(soak)), clock::duration(soak))
                }
                (None, _) => String::new(),
            };
            (Mark::Running, Some(now), text, None)
        }
        Status::Finished { at, output: made } => {
            let mark = if task.stage.takes_back() { Mark::TakenBack } else { Mark::Done };
            (mark, Some(*at), output(made), None)
        }
        Status::Failed { at, failure } => {
            let mark = if last_failure.is_some() { Mark::Failed } else { Mark::Again };
            (mark, Some(*at), String::new(), Some(failure.clone()))
        }
    };
    let attempts = match (mark, state.claims_in_round) {
        (Mark::Again, claims) if deployment.cause().is_none() || task.stage.takes_back() => {
            format!("attempt {} of {} follows", claims + 1, task.stage.attempts())
        }
        (_, 0 | 1) => String::new(),
        (_, claims) => format!("attempt {claims}"),
    };
    Row {
        is_host: true,
        mark,
        label: task.host.as_ref().map(ToString::to_string).unwrap_or_default(),
        elapsed: state.began.zip(end).map(|(began, end)| end.since(began)),
        facts: [text, attempts].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
        failure: failure.map(|failure| Failure {
            message: printable(&failure.message),
            hint: failure.hint.as_deref().map(printable),
            tail: failure.tail.iter().map(|line| printable(line)).collect(),
            ..failure
        }),
    }
}
