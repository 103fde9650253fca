//! A Rails application's own migrations, run by its own Rails in a container of the release's image.
//!
//! Which versions belong to which phase says the release. Rails knows which of them are applied (`schema_migrations`); what
//! runs in it ([`SCRIPT`]) applies the rest one by one, gives way where it gets no lock, and looks in the end whether all are
//! there.

mod authority;
mod error;
mod one_off;
mod order;
mod output;
mod rehearsal;
mod saying;

use std::collections::VecDeque;
use std::time::Duration;

use cutover_bus::Assignment;
use cutover_core::{Engine, Failure, HostName, Program, Progress, Rails, Reference, Settings, Span, Stage};
use cutover_fleet::{Fleet, ImageName, LAST_LINES, Machine};
use cutover_secrets::Values;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::Limits;
use crate::worker::failure;
use authority::Authority;
pub(crate) use error::RailsError;
use one_off::{Ending, OneOff};
use order::Order;
pub(crate) use rehearsal::rehearse;
use saying::{Announced, Statement, verdict};

/// What runs in Rails.
const SCRIPT: &str = include_str!("migrate.rb");
/// What it says when all is applied.
const DONE: &str = "cutover: all is applied";
/// What is kept of a line, in characters: Rails shows statements, which may be long.
const LINE: usize = 500;
/// The task that it adds.
const TASK: &str = "cutover:migrate";
/// Where it finds what is to be done.
const ORDER: &str = "CUTOVER_MIGRATE";
/// By what name the database's server shows the sessions of whoever sets none (libpq's manual, 34.15): what the application opens
/// before it migrates.
const APPLICATION: &str = "PGAPPNAME";
/// Where Rails finds its database.
const DATABASE: &str = "DATABASE_URL";
/// The exit code of what may go better later (sysexits(3), `EX_TEMPFAIL`).
const TEMPORARY: i64 = 75;

/// Runs what the task is about, on the first host of the deployment, within `limit`. Answers with the versions that were applied
/// now.
///
/// # Errors
/// A migration that fails, locks that aren't given in time, and all that can go wrong with a host.
pub(crate) async fn migrate(
    fleet: &Fleet,
    assignment: &Assignment,
    rails: &Rails,
    limit: Span,
) -> Result<Vec<String>, Failure> {
    let plan = assignment.plan();
    let Settings { locks, backfill, .. } = &plan.release.settings;
    let limits = Limits { turn: limit.0.mul_f64(0.9), ..Limits::of(locks, backfill) };
    let (Some(host), Some(image)) = (plan.hosts.first(), assignment.deployment().image()) else {
        return Err(Failure::lasting(format!("{}: the journal names no image or no host", assignment.task)));
    };
    let (machine, image) = (fleet.machine(host), ImageName::new(&plan.key, image));
    let order = match assignment.task.stage {
        Stage::Contract => {
            Order::contract(&plan.key, assignment.service.contracting(&plan.release), &limits, limit)
        }
        _ => Order::expand(&plan.key, &plan.release, &limits, limit),
    };
    let run = async {
        let authority = Authority::take(assignment, &machine, &limits).await?;
        let database = plan.release.settings.database.as_ref();
        let said = run(&machine, assignment, &image, rails, &order, database, "").await;
        if let Some(authority) = authority {
            authority.give().await;
        }
        said.map(|said| said.applied.into_iter().map(|(version, _)| version).collect())
    };
    let ended = Box::pin(timeout(limit.0, run)).await.unwrap_or(Err(RailsError::Late { limit }));
    ended.map_err(|error| match error {
        RailsError::Database(error) => failure(&error, &plan.key.service, Engine::Postgresql),
        error => error.into(),
    })
}

/// Has `order` carried out by the application's Rails on `database`. What it says is told after `before`.
async fn run(
    machine: &Machine,
    assignment: &Assignment,
    image: &ImageName,
    rails: &Rails,
    order: &Order<'_>,
    database: Option<&Reference>,
    before: &str,
) -> Result<Said, RailsError> {
    let plan = assignment.plan();
    let mut settings = plan.release.settings.clone();
    settings.env.insert(ORDER.to_owned(), order.to_text()?);
    settings.env.insert(APPLICATION.to_owned(), order::session("cutover-migrator", &plan.key));
    if let Some(database) = database {
        settings.env.remove(DATABASE);
        settings.secrets.insert(DATABASE.to_owned(), database.clone());
    }
    let given = [TASK, "--execute-continue", SCRIPT].map(str::to_owned);
    let one_off = OneOff {
        machine,
        key: &plan.key,
        deployment: &plan.deployment,
        epoch: &assignment.epoch,
        image,
        settings: &settings,
        values: &Values::of(plan, Program::Migrator),
        command: rails.command.iter().cloned().chain(given).collect(),
    };
    let (lines, told) = unbounded_channel();
    let (ending, said) = tokio::join!(one_off.run(lines), tell(assignment, told, before));
    said.judge(ending?, machine.name().clone())
}

/// What was said in a run.
#[derive(Debug, Default)]
struct Said {
    /// The versions, and how long each took.
    applied: Vec<(String, Duration)>,
    /// What they ran, where that was asked for.
    statements: Vec<Statement>,
    verdict: Option<String>,
    is_done: bool,
    last_lines: VecDeque<String>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        if let Some(statement) = Statement::of(line) {
            self.statements.push(statement);
            return;
        }
        if let Some(announced) = Announced::of(line)
            && let Some(took) = announced.applied_in()
        {
            self.applied.push((announced.version.to_owned(), took));
        }
        self.is_done |= line.trim_end() == DONE;
        if let Some(verdict) = verdict(line) {
            self.verdict = Some(cut(verdict));
        }
        if self.last_lines.len() == LAST_LINES as usize {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(cut(line));
    }

    /// The same, where all were applied.
    fn judge(self, ending: Ending, host: HostName) -> Result<Self, RailsError> {
        let reason = match self.verdict {
            _ if ending.succeeded && self.is_done => return Ok(self),
            _ if ending.succeeded => {
                "nothing was migrated: the image's entrypoint doesn't run the command that it is given"
                    .to_owned()
            }
            verdict => verdict.unwrap_or_else(|| "the migrations could not be run".to_owned()),
        };
        let passing = ending.code == TEMPORARY;
        Err(RailsError::Ended {
            reason,
            host,
            what: ending.what,
            passing,
            last_lines: self.last_lines.into(),
        })
    }
}

/// The beginning of a line.
fn cut(line: &str) -> String {
    line.chars().take(LINE).collect()
}

/// Tells what is said, after `before`, in the deployment's output and, as the step that runs, in the journal.
async fn tell(assignment: &Assignment, mut told: UnboundedReceiver<String>, before: &str) -> Said {
    let mut said = Said::default();
    while let Some(line) = told.recv().await {
        match Statement::of(&line) {
            Some(Statement { version, sql, took, .. }) => {
                assignment.line(&format!("{before}{version} ran for {took} ms: {sql}")).await;
            }
            None => assignment.line(&format!("{before}{line}")).await,
        }
        let announced = Announced::of(&line).map(|Announced { version, what }| format!("{version} {what}"));
        if let Some(step) = announced.or_else(|| verdict(&line).map(str::to_owned)) {
            assignment.progress(Progress::Step(format!("{before}{step}"))).await;
        }
        said.hear(&line);
    }
    said
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn judged(lines: &[&str], code: i64) -> Result<Vec<String>, Failure> {
        let mut said = Said::default();
        lines.iter().for_each(|line| said.hear(line));
        let ending = Ending { succeeded: code == 0, code, what: format!("exited with code {code}") };
        let said = said.judge(ending, "198.18.0.2".parse().unwrap())?;
        Ok(said.applied.into_iter().map(|(version, _)| version).collect())
    }

    #[test]
    fn what_was_applied_is_read_out_of_what_rails_says() {
        let lines = [
            "== 1 AddName: migrating ===",
            "== 1 AddName: migrated (0.1s) ===",
            "== 2 DropName: migrating ===",
            DONE,
        ];
        assert_eq!(judged(&lines, 0).unwrap(), ["1"]);
        assert!(SCRIPT.contains(DONE));
        // Another program has ended well in its place.
        let failure = judged(&lines[..2], 0).unwrap_err();
        assert!(failure.message.contains("the image's entrypoint") && !failure.retry, "{failure:?}");
    }

    #[test]
    fn a_failure_is_told_in_the_words_of_what_ran() {
        let lines = [
            "An error has occurred",
            "cutover: no lock, try 1",
            "cutover: migration 1 AddName failed: E: no",
        ];
        let failure = judged(&lines, 1).unwrap_err();
        assert!(
            failure.message.starts_with("migration 1 AddName failed: E: no (in a container on 198.18.0.2")
        );
        assert_eq!((failure.retry, failure.tail.as_slice()), (false, lines.map(str::to_owned).as_slice()));
        let passing = judged(&["cutover: migration 1 AddName got no lock in 9 tries over 60 s"], TEMPORARY);
        assert!(passing.unwrap_err().retry);
        let silent = judged(&["bin/rails: No such file"], 127).unwrap_err();
        assert!(
            silent.message.contains("could not be run") && silent.message.contains("code 127"),
            "{}",
            silent.message
        );
    }

    #[test]
    fn of_a_long_output_the_end_is_kept() {
        let lines: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let failure = judged(&lines.iter().map(String::as_str).collect::<Vec<_>>(), 1).unwrap_err();
        assert_eq!((failure.tail.len(), failure.tail.last()), (LAST_LINES as usize, lines.last()));
    }
}
