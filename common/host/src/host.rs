//! What the programs work with.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use tokio::sync::OnceCell;

use crate::docker::{Engine, Route};
use crate::local::Local;
use crate::ssh::Ssh;
use crate::transport::Transport;
use crate::{Error, HostAddress, Output, RemoteListener, SshOptions, Stream};

/// A host with a Docker Engine: this machine, or one behind SSH. Nothing is connected before it is needed; a connection
/// that was lost is made again by the next use.
pub struct Host {
    name: String,
    transport: Arc<Transport>,
    engine: OnceCell<Engine>,
}

impl Host {
    pub(crate) fn ssh(address: HostAddress, options: SshOptions) -> Self {
        Self::new(Transport::Ssh(Box::new(Ssh::new(address, options))))
    }

    pub(crate) fn local(docker_socket: &Path) -> Self {
        Self::new(Transport::Local(Local { docker_socket: docker_socket.into() }))
    }

    fn new(transport: Transport) -> Self {
        Self { name: transport.name(), transport: Arc::new(transport), engine: OnceCell::new() }
    }

    /// The host in messages: `user@address:port`, or `this machine`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects and logs in, if that hasn't happened.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Timeout`], [`Error::AuthenticationFailed`], [`Error::KeyUnreadable`] and those
    /// about the host's key. Every other method connects by itself and fails likewise.
    pub async fn connect(&self) -> Result<(), Error> {
        match self.transport.as_ref() {
            Transport::Local(_) => Ok(()),
            Transport::Ssh(ssh) => ssh.connection().await.map(drop),
        }
    }

    /// Closes the connection and all that is open on it; the next use makes a new one.
    pub async fn close(&self) {
        if let Transport::Ssh(ssh) = self.transport.as_ref() {
            ssh.close().await;
        }
    }

    /// A client of the Docker Engine, with an agreed version of its API; clones share their connections, which outlive
    /// an SSH connection that is lost. An answer may take 120 s to begin ([`Docker::with_timeout`] changes that).
    ///
    /// # Errors
    /// [`Error::NoDocker`] where none answers, [`Error::DockerDenied`] where the user may not use it, [`Error::Docker`] where no version is common.
    pub async fn docker(&self) -> Result<Docker, Error> {
        self.engine().await.map(|engine| engine.docker.clone())
    }

    /// A connection to the Docker Engine, for what its client has no words for.
    ///
    /// # Errors
    /// Those of [`Host::docker`].
    pub async fn docker_stream(&self) -> Result<Stream, Error> {
        self.engine().await?.route.open(&self.transport).await
    }

    /// Wraps an error of the client that [`Host::docker`] gave: `.map_err(host.docker_failed("starting web-1"))`.
    pub fn docker_failed(&self, doing: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Error {
        let (host, doing) = (self.name.clone(), doing.into());
        move |source| Error::Docker { host, doing, source }
    }

    /// Connects to a TCP address as the host sees it, for example a container's. `limit` counts once the host itself
    /// is connected.
    ///
    /// # Errors
    /// [`Error::NotListening`] where the address refuses or can't be reached, [`Error::Timeout`] after `limit`,
    /// [`Error::ForwardingRefused`] where the host's sshd doesn't allow it and the helper isn't there.
    pub async fn connect_tcp(&self, address: SocketAddr, limit: Duration) -> Result<Stream, Error> {
        self.transport.connect_tcp(address, limit).await
    }

    /// Connects to a port of what the host knows by `name`: another machine of its network, or an address. Otherwise as
    /// [`Host::connect_tcp`], but that the helper, which looks no names up, is of use for addresses only.
    ///
    /// # Errors
    /// Those of [`Host::connect_tcp`].
    pub async fn connect_name(&self, name: &str, port: u16, limit: Duration) -> Result<Stream, Error> {
        match name.parse() {
            Ok(address) => self.connect_tcp(SocketAddr::new(address, port), limit).await,
            Err(_) => self.transport.connect_name(name, port, limit).await,
        }
    }

    /// Connects to a unix socket of the host, within the limit on connecting.
    ///
    /// # Errors
    /// [`Error::NotListening`] where nobody accepts at `path`; [`Error::ForwardingRefused`] where the host's sshd
    /// doesn't allow it and the helper isn't there.
    pub async fn connect_unix(&self, path: &Path) -> Result<Stream, Error> {
        let result = self.transport.connect_unix(path).await;
        if let (Err(Error::NotListening { .. }), Transport::Ssh(ssh)) = (&result, self.transport.as_ref()) {
            // sshd's answer is the same; the way to Docker tells which it is.
            if self.engine().await.is_ok_and(|engine| engine.route == Route::DialStdio) {
                return ssh.bridge_unix(path).await;
            }
        }
        result
    }

    /// Listens on a free port of the host's loopback interface; what connects there is accepted here.
    ///
    /// # Errors
    /// [`Error::ForwardingRefused`] where the host's sshd doesn't allow it and the helper isn't there.
    pub async fn listen(&self) -> Result<RemoteListener, Error> {
        self.transport.listen(0).await
    }

    /// The same on a port that is wanted, where it is free; else on another one.
    ///
    /// # Errors
    /// As of [`Host::listen`].
    pub async fn listen_at(&self, port: u16) -> Result<RemoteListener, Error> {
        self.transport.listen(port).await
    }

    /// Runs a command to its end, with an empty standard input, as it is: no word of it means anything to a shell. A
    /// command that fails is an [`Output`] too. After `limit`, counted once the host is connected, it is killed.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Disconnected`] where the connection was lost and nobody knows how it ended.
    pub async fn run(&self, command: &[&str], limit: Duration) -> Result<Output, Error> {
        self.transport.run(command, limit).await
    }

    async fn engine(&self) -> Result<&Engine, Error> {
        self.engine.get_or_try_init(|| Engine::connect(&self.transport)).await
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.name).finish()
    }
}
