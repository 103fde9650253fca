use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::single::{Answer, Gate, Single};
use super::worker::Accepted;
use crate::exchange::Exchange;
use crate::relay::{Outcome, relay};
use crate::tls::shake;

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
    let mut rest = Bytes::new();
    loop {
        // Boxed: a connection is in one of these at a time, and would carry the sizes of the others about for nothing.
        rest = match Box::pin(relay(&mut stream, &rest, &client, exchange, closing)).await? {
            Outcome::Ended => return Ok(()),
            Outcome::Http2(first) => {
                return Box::pin(serve_http2(Single::whole(stream, first), client, exchange, closing)).await;
            }
            Outcome::Unanswered(first, request) if request.upgrades => {
                let (single, gate) = Single::new(stream, first, request.head, request.body);
                return Box::pin(serve_upgrade(single, &gate, &client, exchange)).await;
            }
            Outcome::Unanswered(first, request) => {
                let (single, gate) = Single::new(&mut stream, first, request.head, request.body);
                Box::pin(serve_one(single, &gate, &client, exchange, request.seen)).await?;
                match gate.next() {
                    Some(rest) => rest,
                    None => return Ok(()),
                }
            }
        }
    }
}

/// Serves one request of HTTP/1.1; the gate says whether another may follow.
async fn serve_one(
    single: Single<impl AsyncRead + AsyncWrite + Unpin>,
    gate: &Arc<Gate>,
    client: &Client,
    exchange: &Exchange,
    seen: bool,
) -> Result<(), Error> {
    let service = service_fn(async |request| {
        let response = exchange.serve(client, request, seen).await;
        Ok::<_, Infallible>(response.map(|body| Answer::new(body, Arc::clone(gate))))
    });
    Ok(http1().serve_connection(TokioIo::new(single), service).await?)
}

/// Serves one request of HTTP/1.1 that asks for another protocol; the connection is over afterwards.
async fn serve_upgrade(
    single: Single<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    gate: &Arc<Gate>,
    client: &Client,
    exchange: &Exchange,
) -> Result<(), Error> {
    let service = service_fn(async |request| {
        let mut response = exchange.serve(client, request, false).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            gate.upgrade();
        } else {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(response)
    });
    Ok(http1().serve_connection(TokioIo::new(single), service).with_upgrades().await?)
}

/// Heads are complete, and were looked at, before hyper sees them.
fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).max_buf_size(MAX_HEAD as usize);
    http1
}

async fn serve_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    client: Client,
    exchange: &Arc<Exchange>,
    closing: &CancellationToken,
) -> Result<(), Error> {
    // Each stream is a task of its own. Boxed, as its future is large, and would be moved several times until it is one.
    let service = service_fn(|request| {
        let (exchange, client) = (Arc::clone(exchange), client.clone());
        Box::pin(async move { Ok::<_, Infallible>(exchange.serve(&client, request, false).await) })
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
