//! `cutover requests`: what became of requests for deployments, the last first.

use cutover_core::{Answer, Answered, Timestamp};
use serde::Serialize;

use crate::args::{Global, Requests};
use crate::clock;
use crate::console::Console;
use crate::exit::Exit;
use crate::session::Session;
use crate::tree::printable;

/// An answer, as `--json` has it.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    #[serde(flatten)]
    answered: &'a Answered,
}

pub(super) async fn run(options: &Global, args: &Requests, console: Console) -> anyhow::Result<Exit> {
    let session = Session::look(options, console).await?;
    let answers = session.journal.answers().await?;
    for (at, answered) in answers.iter().rev().take(args.limit) {
        if console.json {
            console.object(&Line { at: *at, answered })?;
        } else {
            let answer = match &answered.answer {
                Answer::Accepted(deployment) => format!("deployment {}", deployment.short()),
                Answer::Nothing => "nothing to do".to_owned(),
                Answer::Superseded(by) => format!("superseded by {by}"),
                Answer::Refused(why) => format!("refused: {why}"),
            };
            let at = clock::date_and_time(*at);
            console.line(format_args!("{at}  {}  {}", printable(&answered.request), printable(&answer)))?;
        }
    }
    Ok(Exit::Ok)
}
