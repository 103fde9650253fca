//! `cutover logs`: what the live replicas of all hosts write, or what the tasks of a deployment wrote.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use cutover_core::{HostName, HostSpec, KeptRelease, Stage, Timestamp};
use cutover_host::{Host, HostAddress, Hosts};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::args::{Global, Logs};
use crate::choice;
use crate::clock;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;
use crate::tree::printable;

/// Lines that wait to be printed.
const WAITING: usize = 1024;

/// A line of a replica.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Line {
    /// As Docker writes it (RFC 3339, UTC, nine digits of a second): the order of the text is that of time.
    at: String,
    host: HostName,
    replica: String,
    line: String,
}

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
    replicas(&project, live, args, console).await
}

/// Prints what the replicas write: sorted by time where nothing more is waited for, else as it comes.
async fn replicas(
    project: &Project,
    live: &KeptRelease,
    args: &Logs,
    console: Console,
) -> anyhow::Result<Exit> {
    let hosts = Hosts::from_environment()?;
    let (sender, mut lines) = mpsc::channel(WAITING);
    let mut reading = JoinSet::new();
    for spec in &project.target.hosts {
        let address = HostAddress::new(spec.user.as_str(), spec.name.as_str(), spec.port);
        let host = hosts.get(&address.pinned(spec.host_key.as_ref().map(ToString::to_string)));
        let labels = vec![
            format!("cutover.service={}", project.target.key.service),
            format!("cutover.destination={}", project.target.key.destination),
            format!("cutover.deployment={}", live.booted_by()),
        ];
        let reader =
            Reader { host, spec: spec.clone(), lines: sender.clone(), tail: args.tail, follow: args.follow };
        reading.spawn(reader.read(labels));
    }
    drop(sender);
    let mut sorted = Vec::new();
    while let Some(line) = lines.recv().await {
        if args.follow { print(console, &line)? } else { sorted.push(line) }
    }
    sorted.sort();
    sorted.iter().try_for_each(|line| print(console, line))?;
    // What the others wrote is out: now for those that could not be read.
    while let Some(read) = reading.join_next().await {
        read??;
    }
    if args.follow {
        console.note("these replicas have stopped\nhint: follow those that serve now: cutover logs -f");
    }
    Ok(Exit::Ok)
}

fn print(console: Console, line: &Line) -> std::io::Result<()> {
    if console.json {
        console.object(line)
    } else {
        console.line(format_args!("{}/{} | {}", line.host, line.replica, printable(&line.line)))
    }
}

/// Reads the replicas of one host.
struct Reader {
    host: Arc<Host>,
    spec: HostSpec,
    lines: mpsc::Sender<Line>,
    tail: u32,
    follow: bool,
}

impl Reader {
    async fn read(self, labels: Vec<String>) -> Result<(), cutover_host::Error> {
        let docker = self.host.docker().await?;
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::new().filters(&filters).build();
        let containers = docker
            .list_containers(Some(options))
            .await
            .map_err(self.host.docker_failed("listing replicas"))?;
        let written = containers.into_iter().filter_map(|container| {
            let id = container.id?;
            let replica = container.names?.first()?.trim_start_matches('/').to_owned();
            let options = LogsOptionsBuilder::new()
                .stdout(true)
                .stderr(true)
                .timestamps(true)
                .follow(self.follow)
                .tail(&self.tail.to_string())
                .build();
            Some(docker.logs(&id, Some(options)).map(move |part| (replica.clone(), part)))
        });
        let mut written = futures_util::stream::select_all(written.map(Box::pin));
        while let Some((replica, part)) = written.next().await {
            let part =
                part.map_err(self.host.docker_failed(format!("reading the log of replica {replica}")))?;
            for text in String::from_utf8_lossy(&part.into_bytes()).lines() {
                let (at, line) = text.split_once(' ').unwrap_or((text, ""));
                let line = Line {
                    at: at.to_owned(),
                    host: self.spec.name.clone(),
                    replica: replica.clone(),
                    line: line.to_owned(),
                };
                if self.lines.send(line).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
