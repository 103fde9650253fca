use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::client_connection::serve;
use crate::exchange::Exchange;

/// A connection of a client that was just accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// Where it came from.
    pub(crate) client: IpAddr,
    /// Whether it begins with a handshake.
    pub(crate) tls: bool,
}

/// A thread with a runtime of its own. Whatever belongs to a request stays on it: the client's connection, the
/// application's, and the pool that it came from. So a request never waits for another core.
#[derive(Debug)]
pub(crate) struct Worker {
    handing: mpsc::UnboundedSender<(Accepted, TaskTrackerToken)>,
    connections: TaskTracker,
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
        let connections = orders.connections.clone();
        let serving = serve_all(accepted, Arc::new(exchange), orders, Arc::clone(&open));
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(serving))?;
        Ok(Self { handing, connections, open, thread })
    }

    /// The number of clients' connections that it has.
    pub(crate) fn load(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Gives it a connection, which is in flight from then on.
    pub(crate) fn hand(&self, accepted: Accepted) {
        self.open.fetch_add(1, Relaxed);
        if self.handing.send((accepted, self.connections.token())).is_err() {
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
    mut accepted: mpsc::UnboundedReceiver<(Accepted, TaskTrackerToken)>,
    exchange: Arc<Exchange>,
    orders: Orders,
    open: Arc<AtomicUsize>,
) {
    let Orders { closing, over, .. } = orders;
    while let Some((accepted, in_flight)) = accepted.recv().await {
        let (exchange, closing, open) = (Arc::clone(&exchange), closing.clone(), Arc::clone(&open));
        tokio::spawn(async move {
            if let Err(error) = serve(accepted, &exchange, &closing).await {
                tracing::debug!(%error, "a client's connection ended early");
            }
            open.fetch_sub(1, Relaxed);
            drop(in_flight);
        });
    }
    over.cancelled().await;
}
