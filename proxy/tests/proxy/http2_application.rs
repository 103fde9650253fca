use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use cutover_control::{ApplicationProtocol, Switch, Target, Upstream};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::application::{target, text};
use crate::caller::switch;
use crate::proxy::Proxy;

/// An application that speaks nothing but HTTP/2 without TLS, gone with all its connections when this is dropped.
pub(crate) struct Http2Application {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicU64>,
    farewells: watch::Sender<()>,
    _serving: AbortOnDropHandle<()>,
}

impl Http2Application {
    pub(crate) async fn serve<F, R, B>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::serve_limited(200, answer).await
    }

    /// One that allows so many requests on a connection at once.
    pub(crate) async fn serve_limited<F, R, B>(most: u32, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (farewells, farewell) = watch::channel(());
        let connections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&connections);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Relaxed);
                stream.set_nodelay(true).unwrap();
                let (answer, mut farewell) = (answer.clone(), farewell.clone());
                farewell.mark_unchanged();
                let counted = Arc::clone(&counted);
                let service = service_fn(move |request| {
                    let answering = answer(request);
                    async move { Ok::<_, Infallible>(answering.await) }
                });
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(most);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move {
                    let mut connection = pin!(connection);
                    tokio::select! {
                        _ = &mut connection => {}
                        _ = farewell.changed() => {
                            connection.as_mut().graceful_shutdown();
                            connection.await.ok();
                        }
                    }
                    counted.fetch_sub(1, Relaxed);
                });
            }
        });
        Self { address, connections, farewells, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Answers everything with its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::serve(move |request| async move {
            request.into_body().collect().await.ok();
            text(StatusCode::OK, name)
        })
        .await
    }

    /// Says on all connections that they take no new requests (RFC 9113, 6.8).
    pub(crate) fn say_farewell(&self) {
        self.farewells.send_replace(());
    }

    /// Those that are open.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    pub(crate) fn target(&self) -> Target {
        target(self.address)
    }
}

/// A switch of the default service to applications of HTTP/2.
pub(crate) fn h2c_switch(sequence: u64, targets: &[Target]) -> Switch {
    let upstream = Upstream { application_protocol: ApplicationProtocol::H2c, ..Upstream::default() };
    Switch { upstream, ..switch(sequence, targets) }
}

impl Proxy {
    pub(crate) async fn switch_to_h2c(&self, sequence: u64, targets: &[Target]) {
        let request = cutover_control::Request::Switch(Box::new(h2c_switch(sequence, targets)));
        self.call(request).await.unwrap();
    }
}
