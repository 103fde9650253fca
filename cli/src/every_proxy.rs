//! Something that is said to the proxies of all hosts of a service, side by side.

use cutover_control::ServiceKey;
use cutover_core::{Failure, HostName, JournalId};
use cutover_fleet::{Error as FleetError, Fleet, Machine, key_of};
use cutover_host::Hosts;
use futures_util::future::join_all;
use serde::Serialize;

use crate::args::Global;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::project::Project;
use crate::session::Session;

/// The proxies of the hosts that a service is deployed to.
#[derive(Debug)]
pub(crate) struct EveryProxy {
    project: Project,
    /// The journal that they must obey for the service; none: whichever.
    pub(crate) journal: Option<JournalId>,
}

/// What became of a host, as `--json` has it.
#[derive(Serialize)]
struct Line<'a> {
    host: &'a HostName,
    /// What the service is there now; none: what it was before.
    now: Option<&'static str>,
    /// Why it is not what it was to be.
    error: Option<String>,
}

impl EveryProxy {
    /// Those of the destination that the options name; with `force`, whichever control plane has the service, and without a
    /// look at this one.
    ///
    /// # Errors
    /// A deploy file that is wrong; a control plane that can't be reached.
    pub(crate) async fn of(options: &Global, force: bool, console: Console) -> anyhow::Result<Self> {
        let project = Project::open(options)?;
        let journal = match force {
            true => None,
            false => Some(Session::look(options, console).await?.journal.id().clone()),
        };
        Ok(Self { project, journal })
    }

    /// The service as a proxy knows it.
    pub(crate) fn key(&self) -> ServiceKey {
        key_of(&self.project.target.key)
    }

    /// The service.
    pub(crate) const fn service(&self) -> &cutover_core::ServiceKey {
        &self.project.target.key
    }

    /// Says it to each; `what` is what the service is then.
    ///
    /// # Errors
    /// [`Error::NotEverywhere`], once each host has answered and that was told.
    pub(crate) async fn tell(
        &self,
        what: &'static str,
        console: Console,
        say: impl AsyncFn(&Machine) -> Result<(), FleetError>,
    ) -> anyhow::Result<Exit> {
        let fleet = Fleet::new(Hosts::from_environment()?);
        let machines: Vec<Machine> =
            self.project.target.hosts.iter().map(|host| fleet.machine(host)).collect();
        let told = join_all(machines.iter().map(|machine| say(machine))).await;
        let mut failed = Vec::new();
        for (machine, told) in machines.iter().zip(told) {
            let host = machine.name();
            let error = told.err().map(reason);
            if error.is_some() {
                failed.push(host.clone());
            }
            match (&error, console.json) {
                (_, true) => {
                    let now = error.is_none().then_some(what);
                    console.object(&Line { host, now, error })?;
                }
                (None, false) => console.line(format_args!("+ {host}: {what}"))?,
                (Some(error), false) => console.line(format_args!("✗ {host}: {error}"))?,
            }
        }
        if failed.is_empty() {
            return Ok(Exit::Ok);
        }
        Err(Error::NotEverywhere { key: self.service().clone(), what, hosts: failed }.into())
    }
}

/// Why a proxy was not told, with what to do next.
pub(crate) fn reason(error: FleetError) -> String {
    let failure = Failure::from(error);
    let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}{hint}", failure.message)
}
