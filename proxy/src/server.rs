use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::AccessLog;
use crate::clients::{Listener, Orders, Trust, Worker};
use crate::config::{AccessLogOptions, ServeOptions};
use crate::control::{ControlServer, Plane, Store};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::head::RequestIds;
use crate::metrics::MetricsServer;
use crate::routes::RouteTable;
use crate::takeover::{Inheritance, Predecessor, Sockets, Succession, Successor, path_beside};
use crate::tls::{Custody, Tls};

/// How long before the end of its time a proxy tells those who wait that nothing comes any more.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A proxy that listens, with the routes and fences that it had when it last ran.
#[derive(Debug)]
pub struct Server {
    http: Listener,
    https: Option<Listener>,
    /// The others.
    also: Vec<Listener>,
    control: ControlServer<Arc<Plane>>,
    metrics: Option<MetricsServer>,
    plane: Arc<Plane>,
    routes: Arc<RouteTable>,
    tls: Arc<Tls>,
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
        let mut inheritance = match options.take_over {
            true => {
                let (control, group) = (&options.control, options.control_gid);
                Predecessor::meet(&handover, control, group, options.https.is_some()).await?
            }
            false => None,
        };
        let inherited = inheritance.as_mut().and_then(|inheritance| inheritance.https.take());
        let https =
            options.https.map(|address| Listener::succeed(inherited, (address, options.also_https), true));
        let (https, also_https) = https.transpose()?.unzip();
        let tls = Tls::new(https.as_ref().map(|https| https.address().port()), options.http.port());
        let tls = Arc::new(tls.map_err(Error::Tls)?);
        // The predecessor changes nothing any more: what is read now is what it had.
        let (store, ledger) = Store::open(&options.state)?;
        let custody = Custody::open(store.clone(), Arc::clone(&tls))?;
        let routes = Arc::new(RouteTable::default());
        let workers = options.workers.map_or_else(cores, NonZero::get);
        let plane = Arc::new(Plane::start(store, ledger, custody, Arc::clone(&routes), workers).await);
        let (control, inherited) = match inheritance {
            Some(Inheritance { predecessor, control, http, services, challenges, .. }) => {
                plane.succeed(predecessor, &services, challenges).await;
                (ControlServer::inherit(control, &options.control, options.control_gid)?, Some(http))
            }
            None => (ControlServer::bind(&options.control, options.control_gid).await?, None),
        };
        let (http, also_http) = Listener::succeed(inherited, (options.http, options.also_http), false)?;
        let trust = Trust::new(&options.trusted, options.proxy_protocol);
        let metrics = options.metrics.map(MetricsServer::bind).transpose()?;
        let (control, end_limit) = (control.with(Arc::clone(&plane)), Duration::from_secs(options.end_limit));
        Ok(Self {
            http,
            https,
            also: also_http.into_iter().chain(also_https.flatten()).collect(),
            control,
            metrics,
            plane,
            routes,
            tls,
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
        self.http.address()
    }

    /// The address that HTTPS is served on.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(Listener::address)
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
        let (http, https, plane) = (self.http_address(), self.https_address(), self.plane);
        tracing::info!(%http, https = https.map(tracing::field::display), workers = workers.len(), version = env!("CARGO_PKG_VERSION"), "serving");
        let listeners = std::iter::once(self.http).chain(self.https).chain(self.also);
        let accepting = tokio::spawn(accept(listeners.collect(), workers, closing.clone()));
        let answering = tokio::spawn(self.control.run(closing.clone()));
        if let Some(metrics) = self.metrics {
            let (plane, tls) = (Arc::clone(&plane), Arc::clone(&self.tls));
            tokio::spawn(metrics.run(plane, tls, connections.clone(), closing.clone()));
        }

        let successor = tokio::select! {
            () = stop => None,
            successor = succession.run(&plane) => Some(successor),
        };
        if successor.is_none() {
            plane.turn_away().await;
        }
        tracing::info!(connections = connections.len(), handed_over = successor.is_some(), "ending");
        closing.cancel();
        let workers = accepting.await;
        connections.close();
        let ending = async {
            let soon = self.end_limit.saturating_sub(LAST_WORDS);
            if timeout(soon, connections.wait()).await.is_ok() {
                return Ok(());
            }
            // Who still waits for a paused service gets an answer at least.
            plane.turn_away().await;
            timeout(self.end_limit - soon, connections.wait()).await
        };
        let ended = tokio::select! {
            ended = ending => ended,
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
            let (ids, tls) = (RequestIds::new(self.starts_traces), Arc::clone(&self.tls));
            let exchange = Exchange::new(routes, closing, tunnels, number, trust, ids, tls);
            let exchange = exchange.logging(log.clone());
            Worker::start(number, exchange, orders.clone()).map_err(Error::Worker)
        };
        (0..self.workers).map(start).collect()
    }

    /// Copies of the open sockets.
    fn sockets(&self) -> io::Result<Sockets> {
        let https = self.https.as_ref().map(Listener::copy).transpose()?;
        Ok(Sockets { control: self.control.copy()?, http: self.http.copy()?, https })
    }
}

/// Accepts on all sockets until the proxy is about to end; gives the workers back.
async fn accept(listeners: Vec<Listener>, workers: Vec<Worker>, closing: CancellationToken) -> Vec<Worker> {
    join_all(listeners.into_iter().map(|listener| listener.run(&workers, &closing))).await;
    workers
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
