//! `cutover logs`: what the live replicas of all hosts write, or what the tasks of a deployment wrote.

use cutover_core::{HostName, Stage, Timestamp};
use serde::Serialize;

use crate::args::{Global, Logs};
use crate::choice;
use crate::clock;
use crate::console::Console;
use crate::container_logs::{self, Wanted};
use crate::error::Error;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;
use crate::tree::printable;

/// Lines of each replica, where nothing is said of which are wanted.
const USUAL: u32 = 100;

/// A line of a task.
#[derive(Serialize)]
struct TaskLine<'a> {
    at: Timestamp,
    stage: Stage,
    host: Option<&'a HostName>,
    line: &'a str,
}

pub(super) async fn run(options: &Global, args: &Logs, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    if let Some(text) = &args.deployment {
        let deployment = choice::deployment(&log, text.as_deref())?;
        let mut output = session.journal.output(log.key(), &deployment, args.follow);
        while let Some(written) = output.next().await? {
            if console.json {
                let (stage, host) = (written.task.stage, written.task.host.as_ref());
                console.object(&TaskLine { at: written.at, stage, host, line: &written.line })?;
            } else {
                let at = clock::time_of_day(written.at);
                console.line(format_args!("{at} {} | {}", written.task, printable(&written.line)))?;
            }
        }
        return Ok(Exit::Ok);
    }
    let live = log.service().live().ok_or_else(|| Error::NeverDeployed(log.key().clone()))?;
    let mut labels = vec![
        format!("cutover.service={}", project.target.key.service),
        format!("cutover.destination={}", project.target.key.destination),
        format!("cutover.deployment={}", live.booted_by()),
    ];
    labels.extend(args.role.iter().map(|role| format!("cutover.role={role}")));
    let usual = (args.since.is_none() && args.grep.is_none()).then_some(USUAL);
    let wanted = Wanted {
        labels,
        tail: args.tail.or(usual),
        since: args.since.map(|span| clock::ago(span.0)),
        grep: args.grep.clone(),
        stopped: false,
        follow: args.follow,
    };
    let hosts = project.hosts(args.host.as_ref())?;
    container_logs::print(&hosts, &wanted, console).await?;
    if args.follow {
        console.note("these replicas have stopped\nhint: follow those that serve now: cutover logs -f");
    }
    Ok(Exit::Ok)
}
