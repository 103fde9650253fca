//! `cutover exec`: a command in a live replica, or in all of a role.

use cutover_fleet::{Container, Fleet, Machine};
use cutover_host::Hosts;

use crate::args::{Exec, Global};
use crate::command::Command;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;

pub(super) async fn run(options: &Global, args: &Exec, console: Console) -> anyhow::Result<Exit> {
    let project = Project::open(options)?;
    let session = Session::look(options, console).await?;
    let log = session.journal.service(&project.target.key).await?;
    let live = log.service().live().ok_or_else(|| Error::NeverDeployed(log.key().clone()))?;
    let fleet = Fleet::new(Hosts::from_environment()?);
    let mut exit = None;
    for spec in project.hosts(args.host.as_ref())? {
        let machine = fleet.machine(&spec);
        let replicas = machine.replicas(&project.target.key).await?;
        let is_meant = |replica: &Container| {
            let labels = &replica.labels;
            replica.running && labels.role == args.role && labels.deployment == *live.booted_by()
        };
        for replica in replicas.into_iter().filter(is_meant) {
            let ended = in_one(&machine, &replica, args).await?;
            if !args.all || matches!(ended, Exit::Interrupted | Exit::Terminated) {
                return Ok(ended);
            }
            // The first that failed.
            exit = exit.filter(|exit| *exit != Exit::Command(0)).or(Some(ended));
        }
    }
    exit.ok_or_else(|| {
        let (role, host) = (args.role.clone(), args.host.clone());
        Error::NoReplica { key: project.target.key.clone(), role, host }.into()
    })
}

async fn in_one(machine: &Machine, replica: &Container, args: &Exec) -> anyhow::Result<Exit> {
    let prefix = args.all.then(|| format!("{}/{} | ", machine.name(), replica.name));
    let command = Command {
        machine,
        container: &replica.name,
        id: &replica.id,
        command: &args.command,
        interactive: args.interactive,
        prefix,
    };
    Box::pin(command.run()).await
}
