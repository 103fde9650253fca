use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::render;
use crate::control::Plane;
use crate::error::Error;
use crate::exchange::ResponseBody;
use crate::tls::{Handshakes, Tls};

/// How long a scrape may take in all.
const LIMIT: Duration = Duration::from_secs(10);

/// The pause after a failed accept: the process is out of descriptors, and others have to be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers Prometheus at `/metrics`.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    socket: tokio::net::TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Listens on an address, also while a proxy does that is about to hand over.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`].
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, Error> {
        let bound = || -> std::io::Result<Self> {
            let domain = socket2::Domain::for_address(address);
            let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
            socket.set_nonblocking(true)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.listen(16)?;
            let socket = tokio::net::TcpListener::from_std(TcpListener::from(socket))?;
            Ok(Self { address: socket.local_addr()?, socket })
        };
        bound().map_err(|source| Error::Listen { address, source })
    }

    /// The address that was taken.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the proxy is about to end.
    pub(crate) async fn run(
        self,
        plane: Arc<Plane>,
        tls: Arc<Tls>,
        connections: TaskTracker,
        closing: CancellationToken,
    ) {
        loop {
            let accepted = tokio::select! {
                () = closing.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (plane, tls) = (Arc::clone(&plane), Arc::clone(&tls));
                    tokio::spawn(timeout(LIMIT, answer(stream, plane, tls, connections.clone())));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a scrape failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn answer(stream: TcpStream, plane: Arc<Plane>, tls: Arc<Tls>, connections: TaskTracker) {
    let service = service_fn(|request: Request<Incoming>| {
        let (plane, tls, open) = (Arc::clone(&plane), Arc::clone(&tls), connections.len());
        async move { Ok::<_, Infallible>(scrape(&request, &plane, &tls.handshakes, open).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a scrape ended early");
    }
}

async fn scrape(
    request: &Request<Incoming>,
    plane: &Arc<Plane>,
    handshakes: &Handshakes,
    connections: usize,
) -> Response<ResponseBody> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => match render(&plane.services().await, handshakes, connections) {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "GET /metrics\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "GET /metrics\n".to_owned()),
    };
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
