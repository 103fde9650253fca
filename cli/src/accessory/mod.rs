//! The accessories of a service: made, stopped and asked by whoever operates it, over SSH and Docker alone. No program and no
//! journal takes part, so that the control plane's own trouble is none of theirs.

mod container;
mod error;
mod files;
mod image;
mod making;
mod mounts;
mod place;

use cutover_core::{Accessory, HostName, Span};
use cutover_fleet::Fleet;
use cutover_host::Hosts;

use crate::project::Project;

pub(crate) use error::Error;
pub(crate) use making::{Booted, Supplies};
pub(crate) use place::Place;

/// The accessories of a destination.
#[derive(Debug)]
pub(crate) struct Accessories {
    project: Project,
    fleet: Fleet,
}

impl Accessories {
    /// Those of the deploy file.
    ///
    /// # Errors
    /// An environment that says nothing sensible of SSH.
    pub(crate) fn of(project: Project) -> anyhow::Result<Self> {
        Ok(Self { fleet: Fleet::new(Hosts::from_environment()?), project })
    }

    /// Those of these names, or all, on that host, or on each of theirs; in the order of the file. With `wherever`, also on a host
    /// that is named and has no place for it by the file.
    ///
    /// # Errors
    /// A name or a host that the file doesn't have; a host that one of them has no place on.
    pub(crate) fn places(
        &self,
        names: &[String],
        host: Option<&HostName>,
        wherever: bool,
    ) -> anyhow::Result<Vec<Place<'_>>> {
        let all = &self.project.target.accessories;
        if let Some(name) = names.iter().find(|name| !all.iter().any(|known| known.name.as_str() == *name)) {
            let known: Vec<&str> = all.iter().map(|known| known.name.as_str()).collect();
            let known = if known.is_empty() {
                ": the deploy file has none".to_owned()
            } else {
                format!(": there are {}", known.join(", "))
            };
            return Err(Error::Unknown { name: name.clone(), known }.into());
        }
        let hosts = self.project.hosts(host)?;
        let meant = |accessory: &&Accessory| {
            names.is_empty() || names.iter().any(|name| name == accessory.name.as_str())
        };
        let mut places = Vec::new();
        for accessory in all.iter().filter(meant) {
            let before = places.len();
            for spec in &hosts {
                if accessory.hosts.contains(&spec.name) || (wherever && host.is_some()) {
                    let machine = self.fleet.machine(spec);
                    places.push(Place { key: &self.project.target.key, accessory, machine });
                }
            }
            if let Some(host) = host.filter(|_| places.len() == before && !names.is_empty()) {
                let hosts: Vec<&str> = accessory.hosts.iter().map(HostName::as_str).collect();
                return Err(Error::Elsewhere {
                    name: accessory.name.to_string(),
                    host: host.clone(),
                    hosts: hosts.join(", "),
                }
                .into());
            }
        }
        Ok(places)
    }

    /// Refuses to make one on its hosts where it isn't, while it is where the file gives it no place.
    ///
    /// # Errors
    /// It is elsewhere; a host that can't be reached.
    pub(crate) async fn require_not_elsewhere(&self, place: &Place<'_>) -> Result<(), Error> {
        if place.found().await?.is_some() {
            return Ok(());
        }
        for machine in self.machines() {
            if place.accessory.hosts.contains(machine.name()) {
                continue;
            }
            let there = machine.accessories(place.key).await?;
            if there.iter().any(|found| found.labels.accessory == place.accessory.name) {
                return Err(Error::RunsElsewhere {
                    name: place.accessory.name.to_string(),
                    host: place.machine.name().clone(),
                    elsewhere: machine.name().clone(),
                });
            }
        }
        Ok(())
    }

    /// What is needed to make one.
    ///
    /// # Errors
    /// A file that can't be read.
    pub(crate) fn supplies(&self, accessory: &Accessory, healthy: Span) -> Result<Supplies, Error> {
        Supplies::of(self.project.folder(), accessory, healthy.0)
    }

    /// The machines of the destination, with those that run no accessory by the file.
    pub(crate) fn machines(&self) -> Vec<cutover_fleet::Machine> {
        self.project.target.hosts.iter().map(|spec| self.fleet.machine(spec)).collect()
    }

    /// The project.
    pub(crate) const fn project(&self) -> &Project {
        &self.project
    }
}

/// Does the same at each place, one after the other, so that of several alike only one is away at a time; and goes on where one fails.
///
/// # Errors
/// What failed, once all are done.
pub(crate) async fn each<'a>(
    places: &'a [Place<'a>],
    what: impl AsyncFn(&'a Place<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut failed = Vec::new();
    for place in places {
        failed.extend(what(place).await.err());
    }
    match failed.len() {
        0 => Ok(()),
        1 => Err(failed.remove(0)),
        _ => Err(Error::Several(failed)),
    }
}
