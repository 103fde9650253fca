//! `cutover migrations`: how far the migrations of what is live have come, and what the next step waits for.

use cutover_core::{
    Contract, MigrationFile, Obligation, Phase, Progress, Service, Stage, Status, Timestamp, Wait,
};
use serde::Serialize;

use crate::args::{Global, Migrations};
use crate::console::Console;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;
use crate::{clock, tree};

/// A migration, as `--json` has it.
#[derive(Serialize)]
struct Line<'a> {
    version: &'a str,
    name: &'a str,
    /// Whether its rows were brought over; none: it has none.
    filled: Option<bool>,
    /// Whether its old structure is gone; none: it leaves none.
    contracted: Option<bool>,
    /// What is next for it, in words.
    next: Option<String>,
}

pub(super) async fn run(options: &Global, args: Migrations, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    let lines = lines(log.service(), clock::now());
    if console.json {
        lines.iter().try_for_each(|line| console.object(line))?;
        return Ok(Exit::Ok);
    }
    let is_done = |line: &&Line<'_>| line.next.is_none();
    let done = lines.iter().filter(is_done).count();
    for line in lines.iter().filter(|line| args.all || line.next.is_some()) {
        let next = line.next.as_deref().unwrap_or("done");
        console.line(format_args!("{}_{}: {next}", line.version, line.name))?;
    }
    if !args.all && done > 0 {
        let (count, are) =
            if done == 1 { ("1 migration".to_owned(), "is") } else { (format!("{done} migrations"), "are") };
        console.line(format_args!("{count} {are} done (--all lists them)"))?;
    }
    if lines.is_empty() {
        console.line("what is live has no migrations")?;
    }
    Ok(Exit::Ok)
}

/// The migrations of the live release, in order: a line for each version.
fn lines(service: &Service, now: Timestamp) -> Vec<Line<'_>> {
    let Some(live) = service.live() else { return Vec::new() };
    let files = &live.release.migrations;
    let contracts = service.contracts(now);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for file in files {
        if lines.last().is_some_and(|line| line.version == file.version) {
            continue;
        }
        let has = |phase| files.iter().any(|other| other.version == file.version && other.phase == phase);
        let filled = has(Phase::Backfill).then(|| service.schema.is_filled(&file.version));
        let contracted = has(Phase::Contract).then(|| service.schema.is_contracted(&file.version));
        let next = match (filled, contracted) {
            // What is contracted was brought over, by whatever release.
            (_, Some(true)) => None,
            (Some(false), _) => Some(format!("backfill {}", owed(service, Stage::Backfill, now))),
            (_, Some(false)) => Some(contract(service, &contracts, file, now)),
            _ => None,
        };
        lines.push(Line { version: &file.version, name: &file.name, filled, contracted, next });
    }
    lines
}

fn contract(service: &Service, contracts: &[Contract<'_>], file: &MigrationFile, now: Timestamp) -> String {
    let contract = contracts.iter().find(|contract| contract.file.version == file.version);
    match contract {
        Some(contract) if !contract.waits.is_empty() && !contract.begun => {
            let waits: Vec<String> = contract.waits.iter().map(wait).collect();
            format!("contract waits: {}", waits.join("; "))
        }
        _ => format!("contract {}", owed(service, Stage::Contract, now)),
    }
}

/// Where something of the schema stands that the last deployment owes.
fn owed(service: &Service, stage: Stage, now: Timestamp) -> String {
    let Some(obligation) = service.obligations.iter().find(|owed| owed.task.stage == stage) else {
        return "comes with the deployment that runs".to_owned();
    };
    let next = |obligation: &Obligation| match obligation.not_before() {
        at if at > now => format!("at {}", clock::date_and_time(at)),
        _ => "now".to_owned(),
    };
    match &obligation.state.status {
        _ if service.running().is_some() => "waits for the deployment that runs".to_owned(),
        Status::Claimed { progress: Some(Progress::Step(step)), .. } => {
            format!("runs: {}", tree::printable(step))
        }
        Status::Claimed { .. } => "runs".to_owned(),
        Status::Failed { failure, .. } => {
            format!("has failed, tried again {}: {}", next(obligation), tree::printable(&failure.message))
        }
        Status::Waiting | Status::Finished { .. } => format!("is due {}", next(obligation)),
    }
}

fn wait(wait: &Wait) -> String {
    match wait {
        Wait::Backfill => "for its rows to be brought over".to_owned(),
        Wait::Host(host) => format!("for {host}, which owes something (cutover hosts)"),
        Wait::Warm(until) => {
            format!("until {}, as the old version is kept warm", clock::date_and_time(*until))
        }
        Wait::Release { version, .. } => {
            format!(
                "as {version} is kept for rollback and needs the old structure (cutover approve gives it up)"
            )
        }
        Wait::Until(at) => format!("until {}", clock::date_and_time(*at)),
        Wait::Approval => "for cutover approve".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{Decision, Digest};

    use super::*;
    use crate::fixture::{Transcript, output, task};

    fn next(transcript: &Transcript) -> Vec<String> {
        let lines = lines(&transcript.service, transcript.now());
        lines.into_iter().map(|line| line.next.unwrap_or_default()).collect()
    }

    #[test]
    fn each_says_what_it_waits_for() {
        let part = |phase| MigrationFile::of_phase(phase, "2", "split", Digest::of(b"2"));
        let all = Transcript::migrating(Phase::ALL.map(part).to_vec());
        let (backfill, contract) = (task(Stage::Backfill, 0), task(Stage::Contract, 0));
        let live = all.through(Stage::Build, Stage::Retire);
        assert_eq!(next(&live), ["", "backfill is due now"]);
        let runs = live.claim(&backfill);
        assert_eq!(next(&runs)[1], "backfill runs");
        let filled = runs.finish(&backfill, output(Stage::Backfill)).wait(4_000_000);
        assert!(next(&filled)[1].starts_with("contract waits: as v1 is kept for rollback"));
        let approved = Decision::Approved { deployment: filled.deployment(), by: "anna@laptop".to_owned() };
        let approved = filled.decide(approved);
        assert_eq!(next(&approved)[1], "contract is due now");
        let contracted = approved.claim(&contract).finish(&contract, output(Stage::Contract));
        assert_eq!(next(&contracted), ["", ""]);
    }
}
