use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::exchange::Exchange;
use crate::pool::KEEPALIVE;

/// How long a client may be silent before and within the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(75);

/// How long an idle connection of a client is left open once the proxy is about to end: a request may be on its way,
/// and is then answered with `Connection: close` instead of a reset.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// The pause after a failed accept: the process is out of descriptors, and others have to be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts the connections of clients.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    exchange: Arc<Exchange>,
    closing: CancellationToken,
    connections: TaskTracker,
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`].
    pub(crate) async fn bind(
        address: SocketAddr,
        exchange: Exchange,
        closing: CancellationToken,
        connections: TaskTracker,
    ) -> Result<Self, Error> {
        let listen_error = |source| Error::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(listen_error)?;
        // Inherited by every connection that is accepted.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        SockRef::from(&socket).set_tcp_keepalive(&keepalive).map_err(listen_error)?;
        let address = socket.local_addr().map_err(listen_error)?;
        Ok(Self { socket, address, exchange: Arc::new(exchange), closing, connections })
    }

    /// The address that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the proxy is about to end; what was accepted goes on in the tracked tasks.
    pub(crate) async fn run(self) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.closing.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    let exchange = Arc::clone(&self.exchange);
                    self.connections.spawn(serve(stream, client.ip(), exchange, self.closing.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, client: IpAddr, exchange: Arc<Exchange>, closing: CancellationToken) {
    let written = HeaderValue::from_maybe_shared(Bytes::from(client.to_canonical().to_string()));
    let (Ok(client), Ok(())) = (written, stream.set_nodelay(true)) else { return };
    let service = service_fn(|request| {
        let (exchange, client) = (&exchange, &client);
        async move { Ok::<_, Infallible>(exchange.serve(client, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let idle_over = async {
        closing.cancelled().await;
        tokio::time::sleep(IDLE_GRACE).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = idle_over => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}
