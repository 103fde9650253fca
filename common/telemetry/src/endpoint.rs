//! `/metrics` over HTTP, for Prometheus.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::TextEncoder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::{Error, Metrics};

/// How long a client may take to send its request's head.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may take in all. There is one scrape on each, so a longer one is stuck.
const CONNECTION: Duration = Duration::from_secs(15);

/// Connections served at once; one more waits in the kernel's queue. Prometheus needs one.
const CONNECTIONS: usize = 16;

/// How long accepting rests after it failed: the usual reason is too many open files, which passes.
const REST: Duration = Duration::from_millis(100);

/// The metrics endpoint. It is served until this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Endpoint {
    /// Serves `metrics` at `http://address/metrics` in the text format of Prometheus; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn serve(address: SocketAddr, metrics: Metrics) -> Result<Self, Error> {
        let bind = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { address, accepting: tokio::spawn(accept(listener, metrics)) })
    }

    /// The address that is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, metrics: Metrics) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(tokio::time::timeout(CONNECTION, connection(stream, metrics.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection to the metrics endpoint");
                tokio::time::sleep(REST).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, metrics: Metrics) {
    let answered = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| {
                let response = answer(&request, &metrics);
                async { Ok::<_, Infallible>(response) }
            }),
        )
        .await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a scrape of the metrics was cut short");
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD only\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match TextEncoder::new().encode_to_string(&metrics.registry().gather()) {
        Ok(text) => {
            let mut response = plain(StatusCode::OK, text);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT));
            response
        }
        Err(error) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics can't be written: {error}\n"))
        }
    }
}

fn plain(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
