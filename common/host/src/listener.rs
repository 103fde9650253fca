//! A listener on a host whose connections are served by this process.

use std::fmt;
use std::sync::Arc;

use cutover_bridge::BridgeListener;
use russh::Channel;
use russh::client::Msg;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::channel::ChannelStream;
use crate::connection::Connection;
use crate::{Error, Stream, local};

/// A listener on a free port of a host's loopback interface; what connects to it there is accepted here. The host stops
/// listening when it is dropped; accepted streams go on.
pub struct RemoteListener(Kind);

enum Kind {
    Local(TcpListener, u16),
    Forwarded(Forwarded),
    Bridged(String, BridgeListener),
}

/// A port that an SSH server forwards (RFC 4254, section 7.1).
pub(crate) struct Forwarded {
    host: String,
    connection: Arc<Connection>,
    port: u16,
    channels: mpsc::Receiver<Channel<Msg>>,
}

impl RemoteListener {
    pub(crate) fn local(listener: TcpListener, port: u16) -> Self {
        Self(Kind::Local(listener, port))
    }

    pub(crate) fn forwarded(forwarded: Forwarded) -> Self {
        Self(Kind::Forwarded(forwarded))
    }

    pub(crate) fn bridged(host: String, listener: BridgeListener) -> Self {
        Self(Kind::Bridged(host, listener))
    }

    /// The port on the host's `127.0.0.1`.
    pub fn port(&self) -> u16 {
        match &self.0 {
            Kind::Local(_, port) => *port,
            Kind::Forwarded(forwarded) => forwarded.port,
            Kind::Bridged(_, listener) => listener.port(),
        }
    }

    /// The next connection; waits for it without a limit. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`Error::Disconnected`] once the connection to the host is lost: the listener is of no more use then.
    pub async fn accept(&mut self) -> Result<Stream, Error> {
        match &mut self.0 {
            Kind::Local(listener, _) => {
                let (stream, _) =
                    listener.accept().await.map_err(|error| local::failed("accepting", error))?;
                stream.set_nodelay(true).map_err(|error| local::failed("accepting", error))?;
                Ok(Stream::new(stream))
            }
            Kind::Forwarded(forwarded) => {
                let lost = || Error::Disconnected { host: forwarded.host.clone(), doing: "listening".into() };
                let channel = forwarded.channels.recv().await.ok_or_else(lost)?;
                Ok(Stream::new(ChannelStream::new(channel)))
            }
            Kind::Bridged(host, listener) => {
                let lost = |_| Error::Disconnected { host: host.clone(), doing: "listening".into() };
                listener.accept().await.map(Stream::new).map_err(lost)
            }
        }
    }
}

impl Forwarded {
    pub(crate) fn new(
        host: String,
        connection: Arc<Connection>,
        port: u16,
        channels: mpsc::Receiver<Channel<Msg>>,
    ) -> Self {
        Self { host, connection, port, channels }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let (connection, port) = (Arc::clone(&self.connection), self.port);
        // Without a runtime the connection is gone, and the port with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { connection.unlisten(port).await });
        }
    }
}

impl fmt::Debug for RemoteListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteListener").field("port", &self.port()).finish()
    }
}
