//! One SSH connection: connecting, verifying the host, logging in, opening channels.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use russh::client::{self, ChannelOpenHandle, Handle, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelOpenFailure, Disconnect, Preferred, cipher};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::identity::authenticate;
use crate::known_hosts::KnownHost;
use crate::ssh_config::SshConfig;
use crate::{Error, HostAddress, SshOptions, Stream, route};

/// The keepalives without an answer after which a connection is given up.
const KEEPALIVES: usize = 3;

/// The connections to one listener that may wait to be accepted; more are refused.
const BACKLOG: usize = 128;

/// What a channel leads to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    /// A name is resolved on the host.
    Named(String, u16),
    Unix(PathBuf),
    Session,
}

/// An open connection, logged in.
pub(crate) struct Connection {
    handle: Handle<Client>,
    /// Owned by the session, so that the listeners end with it.
    listeners: Weak<Listeners>,
    /// The connection that this one goes through.
    _via: Option<Arc<Self>>,
}

/// Where the channels of forwarded connections go, by port on the host.
type Listeners = Mutex<HashMap<u32, mpsc::Sender<Channel<Msg>>>>;

/// The ciphers that are offered, the first one that the host has too is used: those of OpenSSH's defaults, with AES-GCM before
/// ChaCha20 where the processor has instructions for it. It then costs a fraction of the CPU, at both ends.
fn ciphers() -> Vec<cipher::Name> {
    let mut ciphers = Preferred::DEFAULT.cipher.into_owned();
    if has_aes() {
        ciphers.sort_by_key(|cipher| *cipher != cipher::AES_256_GCM);
    }
    ciphers
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

impl Connection {
    /// Connects, by the way that the options' file says, verifies the host's key and logs in. The caller sets the limit on
    /// time.
    pub(crate) async fn establish(address: &HostAddress, options: &SshOptions) -> Result<Arc<Self>, Error> {
        let config = SshConfig::of(address, options).await?;
        let (socket, via) = route::open(&config, options, 0).await?;
        Self::over(socket, via, &config, options).await
    }

    /// Verifies the host at the other end of `socket` and logs in.
    pub(crate) async fn over(
        socket: Stream,
        via: Option<Arc<Self>>,
        config: &SshConfig,
        options: &SshOptions,
    ) -> Result<Arc<Self>, Error> {
        let (address, login) = (&config.address, config);
        let unreachable = |source| Error::Unreachable { host: address.to_string(), source };
        let known_host = KnownHost::read(&options.known_hosts, address, options.accept_new).await?;
        let settings = client::Config {
            preferred: Preferred { cipher: ciphers().into(), ..known_host.preferred() },
            keepalive_interval: Some(options.keepalive),
            keepalive_max: KEEPALIVES,
            // Keepalives aren't sent during the handshake, nor while a write to a dead host waits: this ends those too.
            inactivity_timeout: Some(options.keepalive * (KEEPALIVES as u32 + 1)),
            ..client::Config::default()
        };
        let listeners = Arc::new(Listeners::default());
        let client = Client { known_host, listeners: Arc::clone(&listeners) };
        let connecting = client::connect_stream(Arc::new(settings), socket, client);
        let mut handle = connecting.await.map_err(|failure| match failure {
            Failure::Host(error) => error,
            Failure::Ssh(russh::Error::IO(source)) => unreachable(source),
            Failure::Ssh(error) if is_lost(&error) => unreachable(io::Error::other(error)),
            Failure::Ssh(error) => Error::Ssh {
                host: address.to_string(),
                doing: "the handshake".into(),
                source: Box::new(error),
            },
        })?;
        authenticate(&mut handle, login).await?;
        let connection = Arc::new(Self { handle, listeners: Arc::downgrade(&listeners), _via: via });
        tokio::spawn(Arc::clone(&connection).hurry(options.connect_timeout));
        Ok(connection)
    }

    /// OpenSSH's server sets TCP_NODELAY only once a session has run something; until then each of its small answers
    /// waits for the acknowledgement of the one before. So something is run, beside the first use of the connection.
    async fn hurry(self: Arc<Self>, limit: Duration) {
        let nothing = async {
            let mut session = self.handle.channel_open_session().await?;
            session.exec(false, "true").await?;
            while session.wait().await.is_some() {}
            Ok::<_, russh::Error>(())
        };
        let _ = timeout(limit, nothing).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Opens a channel. If the caller no longer waits for it when it opens, it is closed at once.
    pub(crate) async fn open(self: &Arc<Self>, target: Target) -> Result<Channel<Msg>, russh::Error> {
        let (opened, channel) = oneshot::channel();
        let connection = Arc::clone(self);
        tokio::spawn(async move {
            let handle = &connection.handle;
            let result = match target {
                Target::Tcp(to) => {
                    handle
                        .channel_open_direct_tcpip(to.ip().to_string(), to.port().into(), "127.0.0.1", 0)
                        .await
                }
                Target::Named(name, port) => {
                    handle.channel_open_direct_tcpip(name, port.into(), "127.0.0.1", 0).await
                }
                Target::Unix(path) => handle.channel_open_direct_streamlocal(path.to_string_lossy()).await,
                Target::Session => handle.channel_open_session().await,
            };
            if let Err(Ok(unwanted)) = opened.send(result) {
                let _ = unwanted.close().await;
            }
        });
        channel.await.unwrap_or(Err(russh::Error::Disconnect))
    }

    /// Has the host listen on a port of its loopback interface; 0: on any that is free.
    pub(crate) async fn listen(
        &self,
        port: u16,
    ) -> Result<(u16, mpsc::Receiver<Channel<Msg>>), russh::Error> {
        // Which one it is, the host says only where it was asked for any (RFC 4254, 7.1).
        let free = self.handle.tcpip_forward("127.0.0.1", port.into()).await?;
        let port = if port == 0 { free } else { port.into() };
        let (arriving, channels) = mpsc::channel(BACKLOG);
        let listeners = self.listeners.upgrade().ok_or(russh::Error::Disconnect)?;
        lock(&listeners).insert(port, arriving);
        Ok((u16::try_from(port).map_err(|_| russh::Error::Inconsistent)?, channels))
    }

    /// Ends a listener.
    pub(crate) async fn unlisten(&self, port: u16) -> Result<(), russh::Error> {
        if let Some(listeners) = self.listeners.upgrade() {
            lock(&listeners).remove(&port.into());
        }
        self.handle.cancel_tcpip_forward("127.0.0.1", port.into()).await
    }

    /// Says goodbye; what is open on the connection ends.
    pub(crate) async fn close(&self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }
}

/// Whether the error says that the connection is gone, as opposed to a refusal.
pub(crate) fn is_lost(error: &russh::Error) -> bool {
    use russh::Error;
    matches!(
        error,
        Error::SendError
            | Error::RecvError
            | Error::Disconnect
            | Error::HUP
            | Error::IO(_)
            | Error::KeepaliveTimeout
            | Error::InactivityTimeout
    )
}

fn lock(listeners: &Listeners) -> std::sync::MutexGuard<'_, HashMap<u32, mpsc::Sender<Channel<Msg>>>> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the session asks while it runs.
struct Client {
    known_host: KnownHost,
    listeners: Arc<Listeners>,
}

/// Why a session ended: the protocol, or our verdict about the host.
#[derive(Debug)]
enum Failure {
    Ssh(russh::Error),
    Host(Error),
}

impl From<russh::Error> for Failure {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for Client {
    type Error = Failure;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let verified = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.known_host.verify(key).await,
            PublicKeyOrCertificate::Certificate(certificate) => {
                self.known_host.verify_certificate(certificate).await
            }
        };
        verified.map_err(Failure::Host)?;
        Ok(true)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _connected_address: &str,
        connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Failure> {
        let listener = lock(&self.listeners).get(&connected_port).cloned();
        match listener.as_ref().map(mpsc::Sender::try_reserve) {
            Some(Ok(place)) => {
                reply.accept().await;
                place.send(channel);
            }
            Some(Err(_)) => reply.reject(ChannelOpenFailure::ResourceShortage).await,
            None => reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await,
        }
        Ok(())
    }
}
