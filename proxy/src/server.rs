use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ServeOptions;
use crate::control_server::ControlServer;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::listener::Listener;
use crate::plane::Plane;
use crate::route_table::RouteTable;
use crate::store::Store;
use crate::worker::{Orders, Worker};

/// How long what is in flight may take once the proxy was asked to end.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A proxy that listens, with the routes and fences that it had when it last ran.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    control: ControlServer,
    routes: Arc<RouteTable>,
    workers: usize,
}

impl Server {
    /// Reads the state and takes both sockets; clients can connect from then on.
    ///
    /// # Errors
    ///
    /// When a socket can't be had, another proxy has it, or the state can't be read: a proxy never starts empty
    /// because its state is damaged.
    pub async fn bind(options: &ServeOptions) -> Result<Self, Error> {
        let (store, ledger) = Store::open(&options.state)?;
        let control = ControlServer::bind(&options.control, options.control_gid).await?;
        let routes = Arc::new(RouteTable::default());
        let workers = options.workers.map_or_else(cores, NonZero::get);
        let plane = Plane::start(store, ledger, Arc::clone(&routes), workers).await;
        let listener = Listener::bind(options.http)?;
        Ok(Self { listener, control: control.with(plane), routes, workers })
    }

    /// The address that HTTP is served on.
    pub fn http_address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Serves until `stop`. Then nothing more is accepted, what is in flight is finished with `Connection: close`,
    /// and what is still not finished after 30 seconds is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] when a worker can't be started.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let (closing, over, connections) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        // Also where this future is dropped: threads must not outlive it.
        let _over = over.clone().drop_guard();
        let orders =
            Orders { closing: closing.clone(), over: over.clone(), connections: connections.clone() };
        let workers: Result<Vec<Worker>, _> = (0..self.workers)
            .map(|number| {
                let routes = Arc::clone(&self.routes);
                let exchange = Exchange::new(routes, closing.clone(), connections.clone(), number);
                Worker::start(number, exchange, orders.clone())
            })
            .collect();
        let workers = workers.map_err(Error::Worker)?;
        let address = self.http_address();
        tracing::info!(http = %address, workers = workers.len(), version = env!("CARGO_PKG_VERSION"), "serving");
        let accepting = tokio::spawn(self.listener.run(workers, closing.clone()));
        let answering = tokio::spawn(self.control.run(closing.clone()));
        stop.await;
        tracing::info!(connections = connections.len(), "ending");
        closing.cancel();
        let workers = accepting.await;
        connections.close();
        if tokio::time::timeout(END_LIMIT, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "time is over, dropping what is still in flight");
        }
        over.cancel();
        if let Err(error) = answering.await {
            tracing::error!(%error, "the control server failed");
        }
        let joined = spawn_blocking(|| workers.into_iter().flatten().for_each(Worker::join));
        if let Err(error) = joined.await {
            tracing::error!(%error, "waiting for the workers failed");
        }
        Ok(())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
