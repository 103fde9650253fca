use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::AccessLog;
use crate::config::{AccessLogOptions, ServeOptions};
use crate::control_server::ControlServer;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::handover::path_beside;
use crate::listener::Listener;
use crate::metrics_server::MetricsServer;
use crate::plane::Plane;
use crate::predecessor::{Inheritance, Predecessor};
use crate::request_id::RequestIds;
use crate::route_table::RouteTable;
use crate::store::Store;
use crate::successor::{Succession, Successor};
use crate::trust::Trust;
use crate::worker::{Orders, Worker};

/// A proxy that listens, with the routes and fences that it had when it last ran.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    control: ControlServer<Arc<Plane>>,
    metrics: Option<MetricsServer>,
    plane: Arc<Plane>,
    routes: Arc<RouteTable>,
    workers: usize,
    trust: Trust,
    /// Whether a request without a trace begins one.
    starts_traces: bool,
    access_log: AccessLogOptions,
    /// Where a successor finds it.
    handover: PathBuf,
    end_limit: Duration,
}

impl Server {
    /// Reads the state and takes the sockets, from the proxy that serves where that is asked for; clients can connect from
    /// then on.
    ///
    /// # Errors
    ///
    /// When a socket can't be had, another proxy has it, or the state can't be read: a proxy never starts empty
    /// because its state is damaged.
    pub async fn bind(options: &ServeOptions) -> Result<Self, Error> {
        let handover = path_beside(&options.control);
        let inheritance = match options.take_over {
            true => Predecessor::meet(&handover, &options.control).await?,
            false => None,
        };
        // The predecessor changes nothing any more: what is read now is what it had.
        let (store, ledger) = Store::open(&options.state)?;
        let routes = Arc::new(RouteTable::default());
        let workers = options.workers.map_or_else(cores, NonZero::get);
        let plane = Arc::new(Plane::start(store, ledger, Arc::clone(&routes), workers).await);
        let (control, listener) = match inheritance {
            Some(Inheritance { predecessor, control, http, services }) => {
                plane.succeed(predecessor, &services).await;
                (ControlServer::inherit(control)?, Listener::inherit(http, options.http)?)
            }
            None => {
                let control = ControlServer::bind(&options.control, options.control_gid).await?;
                (control, Listener::bind(options.http)?)
            }
        };
        let trust = Trust::new(&options.trusted, options.proxy_protocol);
        let metrics = options.metrics.map(MetricsServer::bind).transpose()?;
        let (control, end_limit) = (control.with(Arc::clone(&plane)), Duration::from_secs(options.end_limit));
        Ok(Self {
            listener,
            control,
            metrics,
            plane,
            routes,
            workers,
            trust,
            starts_traces: options.start_traces,
            access_log: options.access_log.clone(),
            handover,
            end_limit,
        })
    }

    /// The address that HTTP is served on.
    pub fn http_address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The address that Prometheus is answered on.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsServer::address)
    }

    /// Serves until `stop`, or until another proxy has taken over. Then nothing more is accepted, what is in flight is
    /// finished with `Connection: close`, and what is still not finished after the limit is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] when a worker can't be started, [`Error::TakeOver`] when the predecessor is gone before it has
    /// handed over.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let (closing, over, connections) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        // Also where this future is dropped: threads must not outlive it.
        let _over = over.clone().drop_guard();
        let orders =
            Orders { closing: closing.clone(), over: over.clone(), connections: connections.clone() };
        let (log, writing) = match self.access_log.enabled {
            true => Some(AccessLog::start(&self.access_log, io::stdout()).map_err(Error::Worker)?),
            false => None,
        }
        .unzip();
        let workers = self.start_workers(&orders, log)?;
        let sockets = self.sockets().map_err(Error::Inherited)?;
        let take_over = |source| Error::TakeOver { path: self.handover.clone(), source };
        self.plane.relieve().await.map_err(take_over)?;
        let succession = Succession::bind(&self.handover, sockets, self.end_limit)?;
        let (http, plane) = (self.listener.address(), self.plane);
        tracing::info!(%http, workers = workers.len(), version = env!("CARGO_PKG_VERSION"), "serving");
        let accepting = tokio::spawn(self.listener.run(workers, closing.clone()));
        let answering = tokio::spawn(self.control.run(closing.clone()));
        if let Some(metrics) = self.metrics {
            tokio::spawn(metrics.run(Arc::clone(&plane), connections.clone(), closing.clone()));
        }

        let successor = tokio::select! {
            () = stop => None,
            successor = succession.run(&plane) => Some(successor),
        };
        tracing::info!(connections = connections.len(), handed_over = successor.is_some(), "ending");
        closing.cancel();
        let workers = accepting.await;
        connections.close();
        let ended = tokio::time::timeout(self.end_limit, connections.wait());
        let ended = tokio::select! {
            ended = ended => ended,
            never = obey(successor, &plane) => match never {},
        };
        if ended.is_err() {
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
        if let Some(writing) = writing {
            writing.end().await;
        }
        Ok(())
    }

    fn start_workers(&self, orders: &Orders, log: Option<Arc<AccessLog>>) -> Result<Vec<Worker>, Error> {
        let start = |number| {
            let (routes, closing) = (Arc::clone(&self.routes), orders.closing.clone());
            let (tunnels, trust) = (orders.connections.clone(), self.trust.clone());
            let ids = RequestIds::new(self.starts_traces);
            let exchange = Exchange::new(routes, closing, tunnels, number, trust, ids).logging(log.clone());
            Worker::start(number, exchange, orders.clone()).map_err(Error::Worker)
        };
        (0..self.workers).map(start).collect()
    }

    /// Copies of the open sockets, in the order of the handover.
    fn sockets(&self) -> io::Result<[std::os::fd::OwnedFd; 2]> {
        Ok([self.control.copy()?, self.listener.copy()?])
    }
}

/// Does as the successor says, where there is one, and never ends.
async fn obey(successor: Option<Successor>, plane: &Plane) -> std::convert::Infallible {
    if let Some(successor) = successor {
        successor.obey(plane).await;
    }
    pending().await
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
