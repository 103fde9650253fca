use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::exchange::Exchange;

/// How long a client may be silent before and within the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(75);

/// How long an idle connection of a client is left open once the proxy is about to end: a request may be on its way,
/// and is then answered with `Connection: close` instead of a reset.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// A connection of a client that was just accepted, and where it came from.
pub(crate) type Accepted = (TcpStream, IpAddr);

/// A thread with a runtime of its own. Whatever belongs to a request stays on it: the client's connection, the
/// application's, and the pool that it came from. So a request never waits for another core.
#[derive(Debug)]
pub(crate) struct Worker {
    handing: mpsc::UnboundedSender<Accepted>,
    /// Connections of clients that are open.
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// What all workers obey.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// The proxy is about to end: nothing new comes.
    pub(crate) closing: CancellationToken,
    /// Its time is over: what is still in flight is dropped.
    pub(crate) over: CancellationToken,
    /// All that is in flight.
    pub(crate) connections: TaskTracker,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no descriptors left.
    pub(crate) fn start(number: usize, exchange: Exchange, orders: Orders) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (handing, accepted) = mpsc::unbounded_channel();
        let open = Arc::default();
        let serving = serve_all(accepted, Arc::new(exchange), orders, Arc::clone(&open));
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(serving))?;
        Ok(Self { handing, open, thread })
    }

    /// The number of clients' connections that it has.
    pub(crate) fn load(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Gives it a connection.
    pub(crate) fn hand(&self, accepted: Accepted) {
        self.open.fetch_add(1, Relaxed);
        if self.handing.send(accepted).is_err() {
            self.open.fetch_sub(1, Relaxed);
            tracing::error!("a worker is gone, and a connection with it");
        }
    }

    /// Waits until its thread has ended. Blocks the calling thread.
    pub(crate) fn join(self) {
        drop(self.handing);
        if self.thread.join().is_err() {
            tracing::error!("a worker has failed");
        }
    }
}

async fn serve_all(
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
    exchange: Arc<Exchange>,
    orders: Orders,
    open: Arc<AtomicUsize>,
) {
    let Orders { closing, over, connections } = orders;
    while let Some((stream, client)) = accepted.recv().await {
        let (exchange, closing, open) = (Arc::clone(&exchange), closing.clone(), Arc::clone(&open));
        connections.spawn(async move {
            if let Err(error) = serve(stream, client, &exchange, &closing).await {
                tracing::debug!(%error, "a client's connection ended early");
            }
            open.fetch_sub(1, Relaxed);
        });
    }
    over.cancelled().await;
}

async fn serve(
    stream: TcpStream,
    client: IpAddr,
    exchange: &Exchange,
    closing: &CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let client = HeaderValue::from_maybe_shared(Bytes::from(client.to_canonical().to_string()))?;
    let service = service_fn(|request| {
        let client = &client;
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
    tokio::select! {
        ended = connection.as_mut() => ended?,
        () = idle_over => {
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
    }
    Ok(())
}
