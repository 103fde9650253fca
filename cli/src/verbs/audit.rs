//! `cutover audit`: who asked for what, when, from where, and what came of it; the last first.

use std::fmt;

use cutover_core::{
    Decision, DeploymentId, Ended, Entry, Event, Intent, Service, ServiceKey, Stage, Task, Timestamp,
};
use serde::Serialize;

use super::history;
use crate::args::{Audit, Global};
use crate::clock;
use crate::console::Console;
use crate::exit::Exit;
use crate::project;
use crate::session::Session;
use crate::tree::printable;

/// A decision, as `--json` has it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    /// The journal's sequence of it; none: it was purged there, and its deployment's history is left.
    sequence: Option<u64>,
    at: Timestamp,
    /// Who asked for it.
    who: String,
    /// The machine that it was asked for on.
    from: Option<String>,
    action: Action,
    deployment: DeploymentId,
    /// The release that it is about, where that is known.
    version: Option<String>,
    /// What was said with it.
    detail: Option<String>,
    /// How the deployment ended that it began, or was about; none: it runs, or that is not known any more.
    result: Option<&'static str>,
    /// Why it ended so.
    reason: Option<String>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Deploy,
    Rollback,
    Abort,
    Replay,
    Approve,
    Promote,
    Forgive,
}

pub(super) async fn run(options: &Global, args: &Audit, console: Console) -> anyhow::Result<Exit> {
    let keys = project::keys(options)?;
    let session = Session::look(options, console).await?;
    let keys = match keys {
        Some(keys) => keys,
        None => session.journal.services().await?,
    };
    let several = keys.len() > 1;
    for key in &keys {
        let log = session.journal.service(key).await?;
        let Some(current) = &log.service().current else { continue };
        // All decisions come with it, whichever task is asked for.
        let task = Task { stage: Stage::Build, host: None };
        let entries = session.journal.entries(key, current.id(), &task).await?;
        print(key, &lines(&entries, log.service()), several, args.limit, console)?;
    }
    Ok(Exit::Ok)
}

fn print(
    key: &ServiceKey,
    lines: &[Line],
    several: bool,
    limit: usize,
    console: Console,
) -> std::io::Result<()> {
    /// The service stands in each object.
    #[derive(Serialize)]
    struct Object<'a> {
        #[serde(flatten)]
        key: &'a ServiceKey,
        #[serde(flatten)]
        line: &'a Line,
    }
    if several && !console.json {
        console.line(format_args!("{} → {}", key.service, key.destination))?;
    }
    for line in lines.iter().take(limit) {
        if console.json {
            console.object(&Object { key, line })?;
        } else {
            console.line(line)?;
        }
    }
    Ok(())
}

/// All that was decided, the last first. What was purged of the journal is known by what the history keeps of it.
fn lines(entries: &[Entry], service: &Service) -> Vec<Line> {
    let decisions: Vec<(&Entry, &Decision)> = entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Decision(decision) => Some((entry, decision)),
            _ => None,
        })
        .collect();
    let version = |id: &DeploymentId| {
        let accepted = decisions.iter().find_map(|(_, decision)| match decision {
            Decision::Accepted(plan) if plan.deployment == *id => Some(&plan.release.version),
            _ => None,
        });
        let ended = service.history.iter().find(|ended| ended.deployment == *id).map(|ended| &ended.version);
        accepted.or(ended).cloned()
    };
    let mut lines: Vec<Line> = decisions
        .iter()
        .map(|(entry, decision)| {
            // The round that it began, or that ran when it was decided, is the first one that ended afterwards.
            let of_it = |ended: &&Ended| ended.deployment == *decision.deployment();
            let ended = service.history.iter().rev().filter(of_it).find(|ended| ended.at >= entry.at);
            let ended = ended.filter(|_| has_result(decision));
            let (action, by, detail) = said(decision);
            let (who, from) = person(by);
            Line {
                sequence: Some(entry.sequence),
                at: entry.at,
                who,
                from,
                action,
                deployment: decision.deployment().clone(),
                version: version(decision.deployment()),
                detail,
                result: ended.map(|ended| history::outcome(&ended.outcome)),
                reason: ended.and_then(|ended| ended.reason.clone()),
            }
        })
        .collect();
    let purged = service.history.iter().filter(|ended| {
        !decisions
            .iter()
            .any(|(entry, decision)| *decision.deployment() == ended.deployment && entry.at == ended.accepted)
    });
    lines.extend(purged.map(|ended| {
        let (who, from) = person(&ended.by);
        Line {
            sequence: None,
            at: ended.accepted,
            who,
            from,
            action: action(&ended.intent),
            deployment: ended.deployment.clone(),
            version: Some(ended.version.clone()),
            detail: untimely(ended.untimely),
            result: Some(history::outcome(&ended.outcome)),
            reason: ended.reason.clone(),
        }
    }));
    lines.sort_by_key(|line| std::cmp::Reverse((line.at, line.sequence)));
    lines
}

/// Whether how its deployment ended is a result of it.
const fn has_result(decision: &Decision) -> bool {
    matches!(decision, Decision::Accepted(_) | Decision::Replayed { .. } | Decision::Aborted { .. })
}

/// What a decision says: what it is, who made it, and with which words.
fn said(decision: &Decision) -> (Action, &str, Option<String>) {
    match decision {
        Decision::Accepted(plan) => (action(&plan.intent), &plan.by, untimely(plan.untimely)),
        Decision::Aborted { by, .. } => (Action::Abort, by, None),
        Decision::Replayed { by, from, .. } => {
            (Action::Replay, by, from.map(|stage| format!("from {stage} on")))
        }
        Decision::Approved { by, .. } => (Action::Approve, by, Some("the contract phase".to_owned())),
        Decision::Promoted { by, step, .. } => {
            let what = step.map_or("all steps".to_owned(), |step| format!("step {}", step + 1));
            (Action::Promote, by, Some(what))
        }
        Decision::Forgiven { by, host, .. } => (Action::Forgive, by, Some(format!("what {host} owes"))),
    }
}

const fn action(intent: &Intent) -> Action {
    match intent {
        Intent::Deploy => Action::Deploy,
        Intent::Rollback => Action::Rollback,
    }
}

fn untimely(untimely: bool) -> Option<String> {
    untimely.then(|| "forced, outside of `deploy_windows`".to_owned())
}

/// The person, and the machine that the command was given on.
fn person(by: &str) -> (String, Option<String>) {
    match by.rsplit_once('@') {
        Some((who, from)) => (who.to_owned(), Some(from.to_owned())),
        None => (by.to_owned(), None),
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.as_deref().unwrap_or("?");
        let (who, from) = (printable(&self.who), printable(from));
        let version = self.version.as_deref().unwrap_or("?");
        write!(
            f,
            "{}  {who}  on {from}  {:8}  {}  {version}",
            clock::date_and_time(self.at),
            self.action.name(),
            self.deployment.short()
        )?;
        for part in [self.detail.as_deref(), self.result, self.reason.as_deref()].into_iter().flatten() {
            write!(f, "  {}", printable(part))?;
        }
        Ok(())
    }
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Abort => "abort",
            Self::Replay => "replay",
            Self::Approve => "approve",
            Self::Promote => "promote",
            Self::Forgive => "forgive",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Failure;

    use super::*;
    use crate::fixture::{Transcript, task};

    /// What is said, without times.
    fn told(transcript: &Transcript) -> Vec<String> {
        let told = lines(&transcript.entries, &transcript.service).into_iter();
        told.map(|line| line.to_string().chars().skip("2026-11-24 12:01:07  ".len()).collect()).collect()
    }

    #[test]
    fn every_decision_names_its_person_and_what_came_of_it() {
        let build = task(Stage::Build, 0);
        let begun = Transcript::deploying_v2(1).claim(&build).wait(700);
        assert_eq!(told(&begun), ["anna  on laptop  deploy    0k3x9p  v2"]);
        let id = begun.deployment();
        let failed = begun.fail(&build, Failure::lasting("no \u{1b}[2Jbase")).wait(1000);
        let by = |name: &str| format!("{name}@desk");
        let (from, deployment) = (Some(Stage::Build), id.clone());
        let replayed = failed.decide(Decision::Replayed { deployment, by: by("ben"), from }).wait(1000);
        let promoted = Decision::Promoted { deployment: id.clone(), by: by("cleo"), step: Some(0) };
        let aborted = Decision::Aborted { deployment: id, by: "mallory".to_owned() };
        let at = replayed.now();
        let mut ended = replayed.wait(1000).decide(aborted).wait(1000);
        // Of a canary, which this one has not.
        ended.entries.push(Entry { sequence: 99, at, event: Event::Decision(promoted) });
        assert_eq!(
            told(&ended),
            [
                "mallory  on ?  abort     0k3x9p  v2  aborted  aborted by mallory",
                "cleo  on desk  promote   0k3x9p  v2  step 1",
                "ben  on desk  replay    0k3x9p  v2  from build on  aborted  aborted by mallory",
                "anna  on laptop  deploy    0k3x9p  v2  failed  build: no base",
            ]
        );

        // The journal has forgotten its entries, and the history hasn't.
        let purged = lines(&[], &ended.service);
        let known: Vec<_> =
            purged.iter().map(|line| (line.sequence, line.who.as_str(), line.result)).collect();
        assert_eq!(known, [(None, "anna", Some("aborted")), (None, "anna", Some("failed"))]);
        let json = serde_json::to_string(&lines(&ended.entries, &ended.service)[0]).unwrap();
        for part in [r#""who":"mallory","from":null,"action":"abort""#, r#""result":"aborted""#] {
            assert!(json.contains(part), "{json}");
        }
    }
}
