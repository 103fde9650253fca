use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::exchange::Exchange;

/// How long a client may be silent before and within the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(75);

/// How long an idle connection of HTTP/1.1 is left open once the proxy is about to end: a request may be on its way,
/// and is then answered with `Connection: close` instead of a reset. HTTP/2 can say it itself (RFC 9113, 6.8).
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// The method of the connection preface of HTTP/2 (RFC 9113, 3.4), which no request of HTTP/1.1 has.
const PREFACE: &[u8] = b"PRI";

/// The pause before another look, where a preface comes in pieces: at first, and twice as long each time. A client that
/// takes longer in all than the last of them is one of HTTP/1.1, which is waited for without looking.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(640);

/// Requests that a client may have at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 250;

/// Bytes of a request's head; in HTTP/2 as that counts them (RFC 9113, 6.5.2).
const MAX_HEAD: u32 = 64 << 10;

/// Bytes of a response that wait for a client to take them, by stream.
const MAX_UNSENT: usize = 64 << 10;

/// From one question whether the client is still there to the next, on a connection of HTTP/2; and how long its answer may
/// take.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_LIMIT: Duration = Duration::from_secs(20);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Serves a client's connection until it ends, by the version of HTTP that the client begins with.
///
/// # Errors
///
/// When the connection breaks, or what comes is no HTTP.
pub(crate) async fn serve(
    stream: TcpStream,
    client: IpAddr,
    exchange: &Arc<Exchange>,
    closing: &CancellationToken,
) -> Result<(), Error> {
    let mut stream = tokio::net::TcpStream::from_std(stream)?;
    let client = exchange.trust().client(&mut stream, client).await?;
    let is_http2 = tokio::select! {
        first = timeout(HEAD_LIMIT, begins_with_preface(&stream)) => first??,
        () = idle_over(closing) => return Ok(()),
    };
    if is_http2 {
        // Boxed: most connections would carry its size about for nothing.
        Box::pin(serve_http2(stream, client, exchange, closing)).await
    } else {
        serve_http1(stream, client, exchange, closing).await
    }
}

async fn serve_http1(
    stream: tokio::net::TcpStream,
    client: Client,
    exchange: &Exchange,
    closing: &CancellationToken,
) -> Result<(), Error> {
    let service = service_fn(|request| {
        let client = &client;
        async move { Ok::<_, Infallible>(exchange.serve(client, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD as usize)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = idle_over(closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let (Err(error), Some(log)) = (&ended, exchange.log()) {
        log.refused(&client, error);
    }
    Ok(ended?)
}

async fn serve_http2(
    stream: tokio::net::TcpStream,
    client: Client,
    exchange: &Arc<Exchange>,
    closing: &CancellationToken,
) -> Result<(), Error> {
    // Each stream is a task of its own.
    let service = service_fn(|request| {
        let (exchange, client) = (Arc::clone(exchange), client.clone());
        async move { Ok::<_, Infallible>(exchange.serve(&client, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .max_send_buf_size(MAX_UNSENT)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended?,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
    }
    Ok(())
}

/// Whether the client begins with HTTP/2. Nothing is taken from the connection.
async fn begins_with_preface(stream: &tokio::net::TcpStream) -> io::Result<bool> {
    let mut pause = LOOK_AGAIN;
    loop {
        let mut first = [0; PREFACE.len()];
        let length = stream.peek(&mut first).await?;
        let seen = first.get(..length).unwrap_or_default();
        // Also where the client has said nothing and closed: HTTP/1.1 knows what to do.
        if length == 0 || length == PREFACE.len() || !PREFACE.starts_with(seen) || pause > LAST_LOOK {
            return Ok(seen == PREFACE);
        }
        sleep(pause).await;
        pause *= 2;
    }
}

/// The proxy is about to end, and idle connections have been left open for long enough.
async fn idle_over(closing: &CancellationToken) {
    closing.cancelled().await;
    sleep(IDLE_GRACE).await;
}
