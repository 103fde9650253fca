//! A host of a plan.

use std::sync::Arc;

use bollard::Docker;
use cutover_core::{HostName, HostSpec};
use cutover_host::{Host, HostAddress, Hosts};

use crate::Error;

/// The hosts that plans name. Connections are shared and kept; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Fleet {
    hosts: Hosts,
}

/// A host of a plan.
#[derive(Clone, Debug)]
pub struct Machine {
    name: HostName,
    host: Arc<Host>,
}

impl Fleet {
    /// The hosts that are reached through `hosts`.
    pub const fn new(hosts: Hosts) -> Self {
        Self { hosts }
    }

    /// The host of that description. Nothing is connected yet.
    pub fn machine(&self, spec: &HostSpec) -> Machine {
        let address = HostAddress::new(&spec.user, spec.name.as_str(), spec.port);
        Machine { name: spec.name.clone(), host: self.hosts.get(&address) }
    }
}

impl Machine {
    /// A host that was reached in another way.
    pub const fn new(name: HostName, host: Arc<Host>) -> Self {
        Self { name, host }
    }

    /// Its name in the journal.
    pub const fn name(&self) -> &HostName {
        &self.name
    }

    /// The way to it.
    pub const fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Its Docker.
    ///
    /// # Errors
    /// A host that can't be reached, or has no Docker for this user.
    pub async fn docker(&self) -> Result<Docker, Error> {
        Ok(self.host.docker().await?)
    }
}
