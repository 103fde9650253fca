//! The listener and its connections: HTTP/1.1, drained on stop.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
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
    let port = settings.port;
    let start_delay = settings.start_delay;
    let app = Arc::new(App::new(settings, connections.clone())?);
    if stopping.run_until_cancelled(tokio::time::sleep(start_delay)).await.is_none() {
        return Ok(());
    }

    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        .await
        .with_context(|| format!("can't listen on port {port}"))?;
    eprintln!("hello: {} listens on port {port}", app.version());
    while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(answer(stream, app.clone(), stopping.clone()));
            }
            // Descriptors may be short for a moment; accepting again at once would only burn the processor.
            Err(error) => {
                eprintln!("hello: a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    drop(listener);

    connections.close();
    tokio::time::timeout(DRAIN_LIMIT, connections.wait())
        .await
        .with_context(|| format!("{} connections were still open after {DRAIN_LIMIT:?}", connections.len()))
}

async fn answer(stream: TcpStream, app: Arc<App>, stopping: CancellationToken) {
    let service = service_fn(move |request| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(app.answer(request).await) }
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
