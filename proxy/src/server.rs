use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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

/// How long what is in flight may take once the proxy was asked to end.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A proxy that listens, with the routes and fences that it had when it last ran.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    control: ControlServer,
    address: SocketAddr,
    closing: CancellationToken,
    connections: TaskTracker,
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
        let plane = Plane::start(store, ledger, Arc::clone(&routes)).await;
        let closing = CancellationToken::new();
        let connections = TaskTracker::new();
        let exchange = Exchange::new(routes, closing.clone(), connections.clone());
        let listener = Listener::bind(options.http, exchange, closing.clone(), connections.clone()).await?;
        let address = listener.address();
        Ok(Self { listener, control: control.with(plane), address, closing, connections })
    }

    /// The address that HTTP is served on.
    pub fn http_address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`. Then nothing more is accepted, what is in flight is finished with `Connection: close`,
    /// and what is still not finished after 30 seconds is dropped.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tracing::info!(http = %self.address, version = env!("CARGO_PKG_VERSION"), "serving");
        let accepting = tokio::spawn(self.listener.run());
        let answering = tokio::spawn(self.control.run(self.closing.clone()));
        stop.await;
        tracing::info!(connections = self.connections.len(), "ending");
        self.closing.cancel();
        self.connections.close();
        if tokio::time::timeout(END_LIMIT, self.connections.wait()).await.is_err() {
            tracing::warn!(
                connections = self.connections.len(),
                "time is over, dropping what is still in flight"
            );
        }
        for (task, name) in [(accepting, "the listener"), (answering, "the control server")] {
            if let Err(error) = task.await {
                tracing::error!(%error, "{name} failed");
            }
        }
    }
}
