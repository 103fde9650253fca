//! What containers write, of several hosts together.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use cutover_core::{HostName, HostSpec, Timestamp};
use cutover_host::{Host, HostAddress, Hosts};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::console::Console;
use crate::tree::printable;

/// Lines that wait to be printed.
const WAITING: usize = 1024;

/// Of which containers, and how much.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The labels that they have.
    pub(crate) labels: Vec<String>,
    /// Lines of each to begin with; none: all.
    pub(crate) tail: Option<u32>,
    /// Since when; none: since it began.
    pub(crate) since: Option<Timestamp>,
    /// What stands in each line.
    pub(crate) grep: Option<String>,
    /// Whether those are meant too that don't run.
    pub(crate) stopped: bool,
    /// Whether to go on with what is written from now on.
    pub(crate) follow: bool,
}

/// A line of a container.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Line {
    /// As Docker writes it (RFC 3339, UTC, nine digits of a second): the order of the text is that of time.
    at: String,
    host: HostName,
    #[serde(rename = "replica")]
    container: String,
    line: String,
}

/// Prints it: sorted by time where nothing more is waited for, else as it comes, until all have stopped.
///
/// # Errors
/// Hosts that can't be read, once what the others wrote is out.
pub(crate) async fn print(hosts: &[HostSpec], wanted: &Wanted, console: Console) -> anyhow::Result<()> {
    let connections = Hosts::from_environment()?;
    let (sender, mut lines) = mpsc::channel(WAITING);
    let mut reading = JoinSet::new();
    for spec in hosts {
        let address = HostAddress::new(spec.user.as_str(), spec.name.as_str(), spec.port);
        let host = connections.get(&address.pinned(spec.host_key.as_ref().map(ToString::to_string)));
        let reader = Reader { host, name: spec.name.clone(), lines: sender.clone(), wanted: wanted.clone() };
        reading.spawn(reader.read());
    }
    drop(sender);
    let mut sorted = Vec::new();
    while let Some(line) = lines.recv().await {
        if wanted.follow { write(console, &line)? } else { sorted.push(line) }
    }
    sorted.sort();
    sorted.iter().try_for_each(|line| write(console, line))?;
    while let Some(read) = reading.join_next().await {
        read??;
    }
    Ok(())
}

fn write(console: Console, line: &Line) -> std::io::Result<()> {
    if console.json {
        console.object(line)
    } else {
        console.line(format_args!("{}/{} | {}", line.host, line.container, printable(&line.line)))
    }
}

/// Reads the containers of one host.
struct Reader {
    host: Arc<Host>,
    name: HostName,
    lines: mpsc::Sender<Line>,
    wanted: Wanted,
}

impl Reader {
    async fn read(self) -> Result<(), cutover_host::Error> {
        let docker = self.host.docker().await?;
        let filters = HashMap::from([("label".to_owned(), self.wanted.labels.clone())]);
        let options = ListContainersOptionsBuilder::new().all(self.wanted.stopped).filters(&filters).build();
        let containers = docker
            .list_containers(Some(options))
            .await
            .map_err(self.host.docker_failed("listing containers"))?;
        let written = containers.into_iter().filter_map(|container| {
            let id = container.id?;
            let name = container.names?.first()?.trim_start_matches('/').to_owned();
            let since = self.wanted.since.map_or(0, |since| since.0 / 1000);
            let tail = self.wanted.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
            let options = LogsOptionsBuilder::new()
                .stdout(true)
                .stderr(true)
                .timestamps(true)
                .follow(self.wanted.follow)
                .since(i32::try_from(since).unwrap_or(i32::MAX))
                .tail(&tail)
                .build();
            Some(docker.logs(&id, Some(options)).map(move |part| (name.clone(), part)))
        });
        let mut written = futures_util::stream::select_all(written.map(Box::pin));
        while let Some((container, part)) = written.next().await {
            let part = part.map_err(self.host.docker_failed(format!("reading the log of {container}")))?;
            for text in String::from_utf8_lossy(&part.into_bytes()).lines() {
                let (at, line) = text.split_once(' ').unwrap_or((text, ""));
                if self.wanted.grep.as_ref().is_some_and(|text| !line.contains(text)) {
                    continue;
                }
                let line = Line {
                    at: at.to_owned(),
                    host: self.name.clone(),
                    container: container.clone(),
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
