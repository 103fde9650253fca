//! A host of a plan.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bollard::Docker;
use cutover_core::{HostName, HostSpec};
use cutover_host::{Host, HostAddress, Hosts};

use crate::control_lines::ControlLines;
use crate::{Error, SOCKET};

/// The hosts that plans name. Connections are shared and kept; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Fleet {
    hosts: Hosts,
    known: Arc<Mutex<HashMap<HostAddress, Machine>>>,
}

/// A host of a plan. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Machine {
    name: HostName,
    host: Arc<Host>,
    control_lines: Arc<ControlLines>,
    socket: PathBuf,
}

impl Fleet {
    /// The hosts that are reached through `hosts`.
    pub fn new(hosts: Hosts) -> Self {
        Self { hosts, known: Arc::default() }
    }

    /// The host of that description. Nothing is connected yet.
    pub fn machine(&self, spec: &HostSpec) -> Machine {
        let address = address(spec);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Machine::new(spec.name.clone(), self.hosts.get(&address));
        known.entry(address.clone()).or_insert_with(new).clone()
    }

    /// Makes `machine` the host of that description.
    pub fn put(&self, spec: &HostSpec, machine: Machine) {
        let address = address(spec);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(address, machine);
    }
}

fn address(spec: &HostSpec) -> HostAddress {
    HostAddress::new(&spec.user, spec.name.as_str(), spec.port)
        .pinned(spec.host_key.as_ref().map(ToString::to_string))
}

impl Machine {
    /// A host that was reached in another way.
    pub fn new(name: HostName, host: Arc<Host>) -> Self {
        Self { name, host, control_lines: Arc::default(), socket: SOCKET.into() }
    }

    /// The same with its proxy's control socket elsewhere.
    pub fn with_socket(self, socket: PathBuf) -> Self {
        Self { socket, ..self }
    }

    /// Its name in the journal.
    pub const fn name(&self) -> &HostName {
        &self.name
    }

    /// The way to it.
    pub const fn host(&self) -> &Arc<Host> {
        &self.host
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn control_lines(&self) -> &ControlLines {
        &self.control_lines
    }

    /// Its Docker.
    ///
    /// # Errors
    /// A host that can't be reached, or has no Docker for this user.
    pub async fn docker(&self) -> Result<Docker, Error> {
        Ok(self.host.docker().await?)
    }
}
