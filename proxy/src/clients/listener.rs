use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::TcpKeepalive;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::worker::{Accepted, Worker};
use crate::error::Error;
use crate::targets::KEEPALIVE;

/// The pause after a failed accept: the process is out of descriptors, and others have to be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that may wait to be accepted; the kernel allows at most `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Accepts the connections of clients, and hands each to the worker that has the fewest.
///
/// There is one socket for all workers, as a connection that waits in the queue of a socket is lost with that socket: one
/// per worker would lose some whenever their number changes.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// Whether clients begin with a handshake.
    tls: bool,
}

impl Listener {
    /// Listens on an address, for clients that begin with a handshake or those that don't.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`].
    pub(crate) fn bind(address: SocketAddr, tls: bool) -> Result<Self, Error> {
        let listen_error = |source| Error::Listen { address, source };
        let socket = listen(address).map_err(listen_error)?;
        let address = socket.local_addr().map_err(listen_error)?;
        Ok(Self { socket: TcpListener::from_std(socket).map_err(listen_error)?, address, tls })
    }

    /// Listens on an address, and on another one beside it where that is named; takes the socket of a proxy that hands over for the
    /// one of them that it has.
    ///
    /// # Errors
    ///
    /// [`Error::Inherited`], [`Error::Listen`].
    pub(crate) fn succeed(
        socket: Option<OwnedFd>,
        (wanted, also): (SocketAddr, Option<SocketAddr>),
        tls: bool,
    ) -> Result<(Self, Option<Self>), Error> {
        let mut inherited = socket.map(|socket| Self::inherit(socket, tls)).transpose()?;
        let mut listen = |wanted: SocketAddr| match inherited.take_if(|inherited| inherited.is_at(wanted)) {
            Some(inherited) => Ok(inherited),
            None => Self::bind(wanted, tls),
        };
        Ok((listen(wanted)?, also.map(listen).transpose()?))
    }

    fn inherit(socket: OwnedFd, tls: bool) -> Result<Self, Error> {
        let socket = TcpListener::from_std(socket.into()).map_err(Error::Inherited)?;
        let address = socket.local_addr().map_err(Error::Inherited)?;
        Ok(Self { socket, address, tls })
    }

    fn is_at(&self, wanted: SocketAddr) -> bool {
        wanted.ip() == self.address.ip() && [0, self.address.port()].contains(&wanted.port())
    }

    /// A copy of the socket, to be handed over.
    ///
    /// # Errors
    ///
    /// When there are no descriptors left.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// The address that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the proxy is about to end.
    pub(crate) async fn run(self, workers: &[Worker], closing: &CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = closing.cancelled() => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    if let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) {
                        worker.hand(accepted);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next connection, no longer known to this runtime.
    async fn accept(&self) -> io::Result<Accepted> {
        let (stream, client) = self.socket.accept().await?;
        Ok(Accepted { stream: stream.into_std()?, client: client.ip(), tls: self.tls })
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    // Inherited by every connection that is accepted.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(socket.into())
}
