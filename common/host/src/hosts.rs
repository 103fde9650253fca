//! The hosts that a program talks to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Host, HostAddress, SshOptions, docker};

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
    /// The usual socket of a Docker Engine.
    pub const DOCKER_SOCKET: &str = docker::SOCKET;

    /// Hosts that are reached with `options`; the Docker Engine of this machine listens on `docker_socket`.
    pub fn new(options: SshOptions, docker_socket: impl Into<PathBuf>) -> Self {
        Self { options: Arc::new(options), docker_socket: docker_socket.into(), known: Arc::default() }
    }

    /// Hosts that are reached with [`SshOptions::from_environment`], and this machine with Docker's usual socket.
    ///
    /// # Errors
    /// [`Error::Environment`].
    pub fn from_environment() -> Result<Self, Error> {
        Ok(Self::new(SshOptions::from_environment()?, Self::DOCKER_SOCKET))
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
