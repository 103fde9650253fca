//! The two ways to a host.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::listener::RemoteListener;
use crate::local::{self, Local};
use crate::ssh::Ssh;
use crate::{Error, Output, Stream};

/// The way to a host.
pub(crate) enum Transport {
    Local(Local),
    Ssh(Box<Ssh>),
}

impl Transport {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Local(_) => local::NAME.into(),
            Self::Ssh(ssh) => ssh.address().to_string(),
        }
    }

    pub(crate) async fn connect_tcp(&self, address: SocketAddr, limit: Duration) -> Result<Stream, Error> {
        match self {
            Self::Local(local) => local.connect_tcp(address, limit).await,
            Self::Ssh(ssh) => ssh.connect_tcp(address, limit).await,
        }
    }

    pub(crate) async fn connect_name(&self, name: &str, port: u16, limit: Duration) -> Result<Stream, Error> {
        match self {
            Self::Local(local) => local.connect_name(name, port, limit).await,
            Self::Ssh(ssh) => ssh.connect_name(name, port, limit).await,
        }
    }

    pub(crate) async fn connect_unix(&self, path: &Path) -> Result<Stream, Error> {
        match self {
            Self::Local(local) => local.connect_unix(path).await,
            Self::Ssh(ssh) => ssh.connect_unix(path).await,
        }
    }

    pub(crate) async fn listen(&self, port: u16) -> Result<RemoteListener, Error> {
        match self {
            Self::Local(local) => local.listen(port).await,
            Self::Ssh(ssh) => ssh.listen(port).await,
        }
    }

    pub(crate) async fn run(&self, command: &[&str], limit: Duration) -> Result<Output, Error> {
        match self {
            Self::Local(local) => local.run(command, limit).await,
            Self::Ssh(ssh) => ssh.run(command, limit).await,
        }
    }
}
