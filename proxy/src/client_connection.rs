use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::exchange::Exchange;
use crate::relay::{HEAD_LIMIT, IDLE_GRACE, Outcome, relay};
use crate::rewind::Rewind;
use crate::tls::shake;
use crate::worker::Accepted;

/// The method of the connection preface of HTTP/2 (RFC 9113, 3.4), which no request of HTTP/1.1 has.
const PREFACE: &[u8] = b"PRI";

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
/// When the connection breaks, or what comes is no HTTP, or no TLS where that comes first.
pub(crate) async fn serve(
    accepted: Accepted,
    exchange: &Arc<Exchange>,
    closing: &CancellationToken,
) -> Result<(), Error> {
    let mut stream = TcpStream::from_std(accepted.stream)?;
    let client = exchange.trust().client(&mut stream, accepted.client).await?;
    if !accepted.tls {
        return serve_any(stream, client, exchange, closing).await;
    }
    // Boxed, as below: a connection without it would carry its size about for nothing. Not cut short when the proxy is about to
    // end: that would be a failed handshake, where an answer is possible.
    let Some((stream, certified)) = Box::pin(shake(exchange.tls(), stream)).await? else { return Ok(()) };
    let client = client.shown(certified, stream.get_ref().1.protocol_version());
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Box::pin(serve_http2(stream, client, exchange, closing)).await,
        _ => Box::pin(serve_any(stream, client, exchange, closing)).await,
    }
}

/// Serves a connection whose client has not said which version of HTTP it speaks.
async fn serve_any<S>(
    mut stream: S,
    client: Client,
    exchange: &Arc<Exchange>,
    closing: &CancellationToken,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Boxed: a connection is one of the three, and would carry the sizes of the others about for nothing.
    let first = match Box::pin(relay(&mut stream, &client, exchange, closing)).await? {
        Outcome::Ended => return Ok(()),
        Outcome::Unanswered(first) => first,
    };
    let (is_http2, stream) = (first.starts_with(PREFACE), Rewind::new(first, stream));
    if is_http2 {
        Box::pin(serve_http2(stream, client, exchange, closing)).await
    } else {
        Box::pin(serve_http1(stream, client, exchange, closing)).await
    }
}

async fn serve_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
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
        log.unread(&client, error);
    }
    Ok(ended?)
}

async fn serve_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
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

/// The proxy is about to end, and idle connections have been left open for long enough.
async fn idle_over(closing: &CancellationToken) {
    closing.cancelled().await;
    sleep(IDLE_GRACE).await;
}
