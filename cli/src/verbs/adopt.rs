//! `cutover adopt`: takes the service over from another control plane.

use std::io::{self, IsTerminal, Write};

use cutover_core::{HostName, JournalId, ServiceKey};
use cutover_fleet::{Error as FleetError, Fleet, Machine};
use cutover_host::Hosts;
use futures_util::future::join_all;
use serde::Serialize;

use crate::args::{Adopt, Global};
use crate::console::Console;
use crate::error::Error;
use crate::every_proxy::reason;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;
use crate::verbs::adopt_ports;

/// What is true of the proxy on a host, as `--json` has it.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Standing {
    /// It obeys this journal already.
    Ours,
    /// It has never routed the service, and obeys whoever comes first.
    Unknown,
    /// It obeys another journal.
    Foreign {
        /// Which.
        journal: JournalId,
    },
    /// It obeys this journal from now on.
    Adopted,
    /// It could not be asked or told.
    Failed {
        /// Why not.
        error: String,
    },
}

/// A host and what is true of its proxy.
#[derive(Serialize)]
struct Line<'a> {
    host: &'a HostName,
    #[serde(flatten)]
    standing: Standing,
}

pub(super) async fn run(options: &Global, args: Adopt, console: Console) -> anyhow::Result<Exit> {
    let options = options.at(args.place);
    if let Some(container) = &args.from {
        return Box::pin(adopt_ports::run(&options, container, args.yes, console)).await;
    }
    let project = Project::open(&options)?;
    let key = &project.target.key;
    let session = Session::open(&options, console).await?;
    let journal = session.journal.id();
    let fleet = Fleet::new(Hosts::from_environment()?);
    let machines: Vec<Machine> = project.target.hosts.iter().map(|host| fleet.machine(host)).collect();

    let (mut foreign, mut failed): (Vec<&Machine>, Vec<HostName>) = Default::default();
    let standings = join_all(machines.iter().map(|machine| standing(machine, key, journal))).await;
    for (machine, standing) in machines.iter().zip(standings) {
        match &standing {
            Standing::Foreign { .. } => foreign.push(machine),
            Standing::Failed { .. } => failed.push(machine.name().clone()),
            _ => {}
        }
        tell(console, machine, standing)?;
    }
    if foreign.is_empty() && failed.is_empty() {
        console.note("nothing to adopt");
    }
    if !foreign.is_empty() && !args.yes {
        confirm(key, console).await?;
    }
    let adopted = join_all(foreign.iter().map(|machine| adopt(machine, key, journal))).await;
    for (machine, standing) in foreign.iter().zip(adopted) {
        if let Standing::Failed { .. } = &standing {
            failed.push(machine.name().clone());
        }
        tell(console, machine, standing)?;
    }
    if !foreign.is_empty() && project.target.migrations.is_some() {
        console.note(
            "note: the database keeps a fence of its own. If it belongs to the other control plane too, the next migration \
             is refused, and the refusal names the SQL that adopts it",
        );
    }
    if failed.is_empty() {
        Ok(Exit::Ok)
    } else {
        Err(Error::NotAdopted { key: key.clone(), hosts: failed }.into())
    }
}

/// Whom the proxy obeys now. Nothing is changed.
async fn standing(machine: &Machine, key: &ServiceKey, journal: &JournalId) -> Standing {
    match machine.proxy().service(key).await {
        Ok(None) => Standing::Unknown,
        Ok(Some(service)) if service.epoch.journal == journal.0 => Standing::Ours,
        Ok(Some(service)) => Standing::Foreign { journal: JournalId(service.epoch.journal) },
        Err(error) => Standing::failed(error),
    }
}

async fn adopt(machine: &Machine, key: &ServiceKey, journal: &JournalId) -> Standing {
    machine.proxy().adopt(key, journal).await.map_or_else(Standing::failed, |()| Standing::Adopted)
}

impl Standing {
    fn failed(error: FleetError) -> Self {
        Self::Failed { error: reason(error) }
    }
}

fn tell(console: Console, machine: &Machine, standing: Standing) -> io::Result<()> {
    let host = machine.name();
    if console.json {
        return console.object(&Line { host, standing });
    }
    match standing {
        Standing::Ours => console.line(format_args!("  {host}: obeys this control plane already")),
        Standing::Unknown => console.line(format_args!("  {host}: has never routed the service")),
        Standing::Foreign { journal } => {
            console.line(format_args!("  {host}: obeys another control plane, of journal {journal}"))
        }
        Standing::Adopted => console.line(format_args!("+ {host}: obeys this control plane from now on")),
        Standing::Failed { error } => console.line(format_args!("✗ {host}: {error}")),
    }
}

/// Asks on the terminal. Without one, there is nobody to ask.
///
/// # Errors
/// Nobody there, or another answer than yes.
async fn confirm(key: &ServiceKey, console: Console) -> anyhow::Result<()> {
    if console.json || !io::stdin().is_terminal() {
        return Err(Error::Unconfirmed(key.clone()).into());
    }
    let question = format!("the other control plane can't deploy {key} any more then. Adopt it?");
    if is_meant(&question).await? { Ok(()) } else { Err(Error::Declined(key.clone()).into()) }
}

/// Whether whoever is at the terminal says yes.
pub(super) async fn is_meant(question: &str) -> anyhow::Result<bool> {
    let mut out = io::stderr().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    drop(out);
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    Ok(matches!(answer.await??.trim(), "y" | "Y" | "yes"))
}
