//! The hosts that a program talks to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::options::variable;
use crate::{Error, Host, HostAddress, SshOptions};

/// The socket of the Docker Engine of this machine where `DOCKER_HOST` names none.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// The hosts that a program talks to, each with its one connection; clones share them.
#[derive(Debug, Clone)]
pub struct Hosts {
    options: Arc<SshOptions>,
    docker_socket: PathBuf,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    local: Option<Arc<Host>>,
    remote: HashMap<HostAddress, Arc<Host>>,
}

impl Hosts {
    /// Hosts that are reached with `options`; the Docker Engine of this machine listens on `docker_socket`.
    pub fn new(options: SshOptions, docker_socket: impl Into<PathBuf>) -> Self {
        Self { options: Arc::new(options), docker_socket: docker_socket.into(), known: Arc::default() }
    }

    /// Hosts that are reached with [`SshOptions::from_environment`]; `DOCKER_HOST` names this machine's Engine
    /// (`unix://…`, default `/var/run/docker.sock`).
    ///
    /// # Errors
    /// [`Error::Environment`].
    pub fn from_environment() -> Result<Self, Error> {
        let socket = match variable("DOCKER_HOST")? {
            None => DOCKER_SOCKET.to_owned(),
            Some(value) => {
                value.strip_prefix("unix://").map(str::to_owned).ok_or_else(|| Error::Environment {
                    variable: "DOCKER_HOST",
                    reason: format!(
                        "'{value}' isn't unix://…; only a socket of this machine is supported here"
                    ),
                })?
            }
        };
        Ok(Self::new(SshOptions::from_environment()?, Path::new(&socket)))
    }

    /// The host at `address`. Nothing is connected yet.
    pub fn get(&self, address: &HostAddress) -> Arc<Host> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Host::ssh(address.clone(), self.options.as_ref().clone()));
        Arc::clone(known.remote.entry(address.clone()).or_insert_with(new))
    }

    /// This machine.
    pub fn local(&self) -> Arc<Host> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.local.get_or_insert_with(|| Arc::new(Host::local(&self.docker_socket))))
    }
}
