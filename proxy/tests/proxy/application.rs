use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use cutover_control::Target;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// An application: a real HTTP server on a free port, gone with all its connections when this is dropped.
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
    _serving: AbortOnDropHandle<()>,
}

impl Application {
    /// Serves every request with a function.
    pub(crate) async fn serve<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serve_at(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    /// The same where something listens already.
    pub(crate) fn serve_at<F, R>(listener: TcpListener, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&requests);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (answer, counted) = (answer.clone(), Arc::clone(&counted));
                let service = service_fn(move |request| {
                    counted.fetch_add(1, Relaxed);
                    let answering = answer(request);
                    async move { Ok::<_, Infallible>(answering.await) }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(connection.with_upgrades());
            }
        });
        Self { address, requests, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Answers everything with its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::serve(move |request| async move {
            // Read to the end, so that what an upload sent has arrived.
            request.into_body().collect().await.ok();
            text(StatusCode::OK, name)
        })
        .await
    }

    /// Answers everything with its name once the test lets it, and says when it is asked.
    pub(crate) async fn patient(name: &'static str) -> (Self, mpsc::Receiver<()>, Arc<Semaphore>) {
        let (asked, asks) = mpsc::channel(8);
        let gate = Arc::new(Semaphore::new(0));
        let held = Arc::clone(&gate);
        let app = Self::serve(move |_| {
            let (asked, held) = (asked.clone(), Arc::clone(&held));
            async move {
                asked.send(()).await.unwrap();
                held.acquire().await.unwrap().forget();
                text(StatusCode::OK, name)
            }
        })
        .await;
        (app, asks, gate)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn target(&self) -> Target {
        target(self.address)
    }
}

pub(crate) fn target(address: SocketAddr) -> Target {
    Target { replica: format!("replica-{}", address.port()), address }
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(text.into()).map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).unwrap()
}
