//! `cutover analyze`: the canary of a past deployment judged again, by what the journal keeps of it.

use cutover_core::{Attempt, CanaryRecord, DeploymentId, Stage, Task, Timestamp};
use cutover_verdict::{Counts, Observed, Terms, Verdict};
use serde::Serialize;

use crate::args::{Analyze, Global};
use crate::choice;
use crate::clock;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;

/// What was observed in a step, and what follows from that and all before, as `--json` has it.
#[derive(Serialize)]
struct Line<'a> {
    deployment: &'a DeploymentId,
    /// The number of the worker that watched it, from 1.
    attempt: usize,
    since: Timestamp,
    /// From 0.
    step: u32,
    observed: &'a Observed,
    verdict: &'a Verdict,
}

pub(super) async fn run(options: &Global, args: &Analyze, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    let deployment = choice::deployment(&log, args.deployment.as_deref())?;
    let nothing = |why| Error::NothingJudged { deployment: deployment.clone(), why };
    let canary = Task { stage: Stage::Canary, host: None };
    let entries = session.journal.entries(log.key(), &deployment, &canary).await?;
    let record = CanaryRecord::of(&deployment, &entries)
        .ok_or_else(|| nothing("it had none, or is one of those that the journal has forgotten"))?;
    let now = project.target.settings.canary.verdict.as_ref().filter(|_| args.by_file);
    let terms = now.or(record.canary.verdict.as_ref());
    let terms = terms.ok_or_else(|| nothing("it had no verdict"))?;
    if record.attempts.iter().all(|attempt| attempt.parts.is_empty()) {
        return Err(
            nothing("no step of it had requests of both versions and a time, or its host is gone").into()
        );
    }
    let several = record.attempts.len() > 1;
    for (attempt, number) in record.attempts.iter().zip(1..) {
        if several && !console.json {
            let at = clock::date_and_time(attempt.at);
            console.line(format_args!("attempt {number}, since {at}"))?;
        }
        let last = print(&record, attempt, number, terms, &deployment, console)?;
        if let (false, false, Some(last)) = (console.json, args.by_file, last) {
            console.line(then(attempt, &last))?;
        }
    }
    Ok(Exit::Ok)
}

/// Prints what is said at the end of each step, and answers with the last.
fn print(
    record: &CanaryRecord,
    attempt: &Attempt,
    number: usize,
    terms: &Terms,
    deployment: &DeploymentId,
    console: Console,
) -> std::io::Result<Option<Verdict>> {
    let mut last = None;
    for (part, (step, verdict)) in attempt.parts.iter().zip(attempt.judged(terms)) {
        let observed = &part.observed;
        if console.json {
            let since = attempt.at;
            console.object(&Line {
                deployment,
                attempt: number,
                since,
                step,
                observed,
                verdict: &verdict,
            })?;
        } else {
            let wanted = record.canary.steps.get(step as usize).map(ToString::to_string).unwrap_or_default();
            let (new, old) = totals(observed);
            let time = clock::duration(observed.moment.elapsed);
            console.line(format_args!(
                "step {}, {wanted}: {time}, {} requests, {} failed; beside them {}, {} failed",
                step + 1,
                new.requests,
                new.failed,
                old.requests,
                old.failed
            ))?;
            for line in verdict.to_string().lines() {
                console.line(format_args!("  {line}"))?;
            }
        }
        last = Some(verdict);
    }
    Ok(last)
}

fn totals(observed: &Observed) -> (Counts, Counts) {
    let windows = observed.windows.iter();
    windows.fold(Default::default(), |(new, old): (Counts, Counts), window| {
        (new.plus(&window.new), old.plus(&window.old))
    })
}

/// What was said then.
fn then(attempt: &Attempt, now: &Verdict) -> String {
    match (&attempt.verdict, &attempt.failure) {
        (Some(then), _) if **then == *now => "the same was said then".to_owned(),
        (Some(then), _) => format!("then it was: {} ({})", then.outcome, then.action),
        (None, Some(failure)) => format!("then: {failure}"),
        (None, None) => "it didn't come to an end then".to_owned(),
    }
}
