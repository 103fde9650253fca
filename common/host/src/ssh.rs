//! The SSH transport: one connection to a host, shared by all who use it and made again when it is lost.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutover_bridge::Bridge;
use russh::client::Msg;
use russh::{Channel, ChannelOpenFailure};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use crate::channel::ChannelStream;
use crate::command::shell_line;
use crate::connection::{Connection, Target, is_lost};
use crate::helper::Helper;
use crate::listener::{Forwarded, RemoteListener};
use crate::session::execute;
use crate::{Error, HostAddress, Output, SshOptions, Stream};

/// The commands that run at once; more wait. sshd allows 10 sessions on a connection (`MaxSessions`), of which some are
/// needed for the bridge to Docker where nothing is forwarded.
const COMMANDS: usize = 6;

/// A host behind SSH.
pub(crate) struct Ssh {
    address: HostAddress,
    options: SshOptions,
    connection: Mutex<Option<Arc<Connection>>>,
    commands: Semaphore,
    helper: Helper,
}

impl Ssh {
    pub(crate) fn new(address: HostAddress, options: SshOptions) -> Self {
        let commands = Semaphore::new(COMMANDS);
        Self { address, options, connection: Mutex::new(None), commands, helper: Helper::default() }
    }

    pub(crate) fn address(&self) -> &HostAddress {
        &self.address
    }

    /// The limit on opening something on a connection.
    pub(crate) fn limit(&self) -> Duration {
        self.options.connect_timeout
    }

    /// The open connection, or a new one. One caller connects; the others wait for the result, each within its limit.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, Error> {
        self.within(self.limit(), "connecting and logging in", async {
            let mut current = self.connection.lock().await;
            if let Some(connection) = current.as_ref().filter(|connection| !connection.is_closed()) {
                return Ok(Arc::clone(connection));
            }
            *current = None;
            let connection = Box::pin(Connection::establish(&self.address, &self.options)).await?;
            Ok(Arc::clone(current.insert(connection)))
        })
        .await
    }

    pub(crate) async fn connect_tcp(&self, address: SocketAddr, limit: Duration) -> Result<Stream, Error> {
        let doing = format!("connecting to {address}");
        self.connection().await?;
        match self.within(limit, &doing, self.open(Target::Tcp(address), &doing)).await {
            Ok(channel) => Ok(Stream::new(ChannelStream::new(channel))),
            Err(Error::ForwardingRefused { .. }) => {
                let asked = |bridge: Bridge| async move { bridge.connect_tcp(address).await };
                let target = address.to_string();
                self.helper.ask(self, (&doing, &target), limit, asked).await.map(Stream::new)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn connect_name(&self, name: &str, port: u16, limit: Duration) -> Result<Stream, Error> {
        let doing = format!("connecting to {name}:{port}");
        self.connection().await?;
        let channel =
            self.within(limit, &doing, self.open(Target::Named(name.to_owned(), port), &doing)).await?;
        Ok(Stream::new(ChannelStream::new(channel)))
    }

    pub(crate) async fn connect_unix(&self, path: &Path) -> Result<Stream, Error> {
        let doing = format!("connecting to {}", path.display());
        let channel = self.open(Target::Unix(path.into()), &doing).await?;
        Ok(Stream::new(ChannelStream::new(channel)))
    }

    /// Connects to a unix socket by way of the helper.
    pub(crate) async fn bridge_unix(&self, path: &Path) -> Result<Stream, Error> {
        let target = path.display().to_string();
        let asked = |bridge: Bridge| async move { bridge.connect_unix(path).await };
        let what = (format!("connecting to {target}"), target);
        self.helper.ask(self, (&what.0, &what.1), self.limit(), asked).await.map(Stream::new)
    }

    /// Runs a command whose standard input and output are the stream; its standard error is dropped.
    pub(crate) async fn pipe(&self, command: &[&str]) -> Result<Stream, Error> {
        let doing = format!("running {}", command.join(" "));
        let channel = self.open(Target::Session, &doing).await?;
        channel.exec(false, shell_line(command)).await.map_err(|error| self.failed(&doing, error))?;
        Ok(Stream::new(ChannelStream::new(channel)))
    }

    pub(crate) async fn run(&self, command: &[&str], limit: Duration) -> Result<Output, Error> {
        let doing = format!("running {}", command.join(" "));
        self.connection().await?;
        let running = async {
            let _turn = self.commands.acquire().await;
            let channel = self.open(Target::Session, &doing).await?;
            execute(channel, command, limit).await.map_err(|error| self.failed(&doing, error))
        };
        self.within(limit, &doing, running).await
    }

    pub(crate) async fn listen(&self, port: u16) -> Result<RemoteListener, Error> {
        let doing = "listening on its loopback interface";
        let forwarded = self.within(self.limit(), doing, async {
            let connection = self.connection().await?;
            let listening = match connection.listen(port).await {
                // sshd says no more: the port is taken, or it forwards nothing.
                Err(russh::Error::RequestDenied) if port > 0 => connection.listen(0).await,
                listening => listening,
            };
            match listening {
                Ok((port, channels)) => {
                    let host = self.address.to_string();
                    Ok(RemoteListener::forwarded(Forwarded::new(host, connection, port, channels)))
                }
                Err(russh::Error::RequestDenied) => Err(self.forwarding_refused(doing)),
                Err(error) => Err(self.failed(doing, error)),
            }
        });
        match forwarded.await {
            Err(Error::ForwardingRefused { host, .. }) => {
                let asked = |bridge: Bridge| async move { bridge.listen(port).await };
                let listener = self.helper.ask(self, (doing, doing), self.limit(), asked).await?;
                Ok(RemoteListener::bridged(host, listener))
            }
            listening => listening,
        }
    }

    pub(crate) fn forwarding_refused(&self, doing: &str) -> Error {
        Error::ForwardingRefused { host: self.address.to_string(), doing: doing.into() }
    }

    /// Closes the connection; the next use makes a new one.
    pub(crate) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            connection.close().await;
        }
    }

    /// Opens a channel, on a second connection if the first turns out to be lost: nothing has happened on it by then.
    async fn open(&self, target: Target, doing: &str) -> Result<Channel<Msg>, Error> {
        let result = match self.open_once(target.clone(), doing).await? {
            Err(error) if is_lost(&error) => self.open_once(target.clone(), doing).await?,
            result => result,
        };
        result.map_err(|error| match (error, target) {
            (russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed), Target::Tcp(address)) => {
                self.not_listening(address.to_string())
            }
            (
                russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed),
                Target::Named(name, port),
            ) => self.not_listening(format!("{name}:{port}")),
            (russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed), Target::Unix(path)) => {
                self.not_listening(path.display().to_string())
            }
            (
                russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited),
                Target::Tcp(_) | Target::Named(..),
            ) => self.forwarding_refused(doing),
            (error, _) => self.failed(doing, error),
        })
    }

    /// A connection that turns out to be lost, or doesn't answer, is not used again.
    async fn open_once(
        &self,
        target: Target,
        doing: &str,
    ) -> Result<Result<Channel<Msg>, russh::Error>, Error> {
        let connection = self.connection().await?;
        // The host itself may wait long for a TCP peer: there the caller's limit holds.
        let peer_is_remote = matches!(target, Target::Tcp(_) | Target::Named(..));
        let opening = async { Ok(connection.open(target).await) };
        let result =
            if peer_is_remote { opening.await } else { self.within(self.limit(), doing, opening).await };
        if !matches!(&result, Ok(Ok(_)) | Ok(Err(russh::Error::ChannelOpenFailure(_)))) {
            self.discard(&connection).await;
        }
        result
    }

    async fn discard(&self, lost: &Arc<Connection>) {
        let mut current = self.connection.lock().await;
        if current.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, lost)) {
            *current = None;
        }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        doing: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = |_| Error::Timeout { host: self.address.to_string(), doing: doing.into(), limit };
        timeout(limit, work).await.map_err(late)?
    }

    fn not_listening(&self, target: String) -> Error {
        Error::NotListening { host: self.address.to_string(), target }
    }

    fn failed(&self, doing: &str, error: russh::Error) -> Error {
        let (host, doing) = (self.address.to_string(), doing.to_owned());
        if is_lost(&error) {
            Error::Disconnected { host, doing }
        } else {
            Error::Ssh { host, doing, source: Box::new(error) }
        }
    }
}
