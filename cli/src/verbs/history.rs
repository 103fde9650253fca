//! `cutover history`: past deployments, the last first.

use cutover_core::{Ended, Intent, Outcome, ServiceKey};
use serde::Serialize;

use crate::args::{Global, History};
use crate::clock;
use crate::console::Console;
use crate::exit::Exit;
use crate::project;
use crate::session::Session;
use crate::tree::{cut, printable};

/// A past deployment, as `--json` has it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    key: &'a ServiceKey,
    #[serde(flatten)]
    ended: &'a Ended,
}

pub(super) async fn run(options: &Global, args: &History, console: Console) -> anyhow::Result<Exit> {
    let keys = project::keys(options)?;
    let session = Session::look(options, console).await?;
    let keys = match keys {
        Some(keys) => keys,
        None => session.journal.services().await?,
    };
    let several = keys.len() > 1;
    for key in &keys {
        let log = session.journal.service(key).await?;
        if several && !console.json {
            console.line(format_args!("{} → {}", key.service, key.destination))?;
        }
        for ended in log.service().history.iter().take(args.limit) {
            if console.json {
                console.object(&Line { key, ended })?;
            } else {
                let line = line(ended);
                // A reason may be long, and `status` has all of it for the last one.
                let width = if console.terminal { console.size().0 } else { usize::MAX };
                console.line(cut(&line, width))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// How a deployment ended, in words.
pub(super) const fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Live => "live",
        Outcome::TakenBack => "taken back",
        Outcome::Failed => "failed",
        Outcome::Aborted => "aborted",
        Outcome::Degraded { .. } => "degraded",
    }
}

fn line(ended: &Ended) -> String {
    let intent = match ended.intent {
        Intent::Deploy => "deploy",
        Intent::Rollback => "rollback",
    };
    let outcome = outcome(&ended.outcome);
    let took = clock::duration(ended.at.since(ended.accepted));
    let (id, at) = (ended.deployment.short(), clock::date_and_time(ended.accepted));
    let untimely = if ended.untimely { "  outside of `deploy_windows`" } else { "" };
    let reason = ended.reason.as_ref().map(|reason| format!("  {}", printable(reason))).unwrap_or_default();
    format!(
        "{id}  {at}  {intent:8}  {:14}  {outcome:10}  {took:>9}  {}{untimely}{reason}",
        ended.version, ended.by
    )
}
