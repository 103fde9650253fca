//! `cutover hosts`: where the service runs, and what each host owes; `hosts forget` forgives it.

use cutover_core::{Decision, HostName, HostSpec, Obligation};
use serde::Serialize;

use crate::args::{Global, Hosts, HostsAction};
use crate::console::Console;
use crate::decide::refused;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;
use crate::{choice, clock, person};

/// A host, as `--json` has it.
#[derive(Serialize)]
struct Line<'a> {
    host: &'a HostName,
    /// Whether the deploy file names it.
    listed: bool,
    owes: Vec<&'a Obligation>,
}

pub(super) async fn run(options: &Global, args: Hosts, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let mut log = session.journal.service(&project.target.key).await?;
    if let Some(HostsAction::Forget { host }) = args.action {
        let deployment = choice::current(&log)?.id().clone();
        let forgiven = Decision::Forgiven { deployment, host: host.clone(), by: person::by() };
        session.journal.decide(&mut log, forgiven).await.map_err(refused)?;
        console.line(format_args!("what {host} owes is forgotten"))?;
        return Ok(Exit::Ok);
    }
    let service = log.service();
    let listed = project.target.hosts.iter().map(|HostSpec { name, .. }| (name, true));
    let unlisted = service.obligations.iter().filter_map(Obligation::host).map(|host| (host, false));
    let mut hosts: Vec<(&HostName, bool)> = Vec::new();
    for (host, in_file) in listed.chain(unlisted) {
        if !hosts.iter().any(|(known, _)| *known == host) {
            hosts.push((host, in_file));
        }
    }
    for (host, listed) in hosts {
        let owes: Vec<&Obligation> =
            service.obligations.iter().filter(|obligation| obligation.host() == Some(host)).collect();
        if console.json {
            console.object(&Line { host, listed, owes })?;
            continue;
        }
        let not_listed = if listed { "" } else { "  (no longer in the deploy file)" };
        console.line(format_args!("{host}{not_listed}"))?;
        for obligation in owes {
            console.line(format_args!("  {}", owed(obligation)))?;
        }
    }
    Ok(Exit::Ok)
}

fn owed(obligation: &Obligation) -> String {
    let (stage, deployment) = (obligation.task.stage, obligation.deployment.short());
    let next = clock::date_and_time(obligation.not_before());
    let next = if obligation.state.is_open() { "now".to_owned() } else { next };
    match &obligation.reason {
        Some(reason) => {
            let (since, reason) = (clock::date_and_time(obligation.since), crate::tree::printable(reason));
            format!("owes {stage} of {deployment} since {since}, tried next {next}: {reason}")
        }
        None => format!("{stage} of {deployment} is due {next}"),
    }
}
