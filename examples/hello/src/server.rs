//! The listeners and their connections: HTTP/1.1, drained on stop.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::settings::Settings;

/// How long what is in flight may take after SIGTERM.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Serves until `stopping`, then until what is in flight has been answered.
pub(crate) async fn serve(settings: Settings, stopping: CancellationToken) -> Result<()> {
    let connections = TaskTracker::new();
    let ports: Vec<u16> = std::iter::once(settings.port).chain(settings.second_port).collect();
    let start_delay = settings.start_delay;
    let app = Arc::new(App::new(settings, connections.clone())?);
    if stopping.run_until_cancelled(tokio::time::sleep(start_delay)).await.is_none() {
        return Ok(());
    }

    let mut listeners = Vec::new();
    for port in ports {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .await
            .with_context(|| format!("can't listen on port {port}"))?;
        eprintln!("hello: {} listens on port {port}", app.version());
        listeners.push(accept(listener, port, &app, &connections, &stopping));
    }
    join_all(listeners).await;

    connections.close();
    tokio::time::timeout(DRAIN_LIMIT, connections.wait())
        .await
        .with_context(|| format!("{} connections were still open after {DRAIN_LIMIT:?}", connections.len()))
}

/// Takes connections to a port until `stopping`.
async fn accept(
    listener: TcpListener,
    port: u16,
    app: &Arc<App>,
    connections: &TaskTracker,
    stopping: &CancellationToken,
) {
    while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(answer(stream, port, app.clone(), stopping.clone()));
            }
            // Descriptors may be short for a moment; accepting again at once would only burn the processor.
            Err(error) => {
                eprintln!("hello: a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, port: u16, app: Arc<App>, stopping: CancellationToken) {
    let service = service_fn(move |request| {
        let app = app.clone();
        async move {
            let mut response = app.answer(request).await;
            response.headers_mut().insert("x-port", port.into());
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection =
        pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        eprintln!("hello: a connection was lost: {error}");
    }
}
