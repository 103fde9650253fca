use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::certified::host_of;
use super::{Certified, Tls, challenges};

/// How long a client may take from its connection to the end of its handshake.
const LIMIT: Duration = Duration::from_secs(10);

/// The first byte of a record that begins a handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// The alert that there is nothing to show for a name: fatal, unrecognized_name (RFC 6066, 3), in a record that no key
/// protects yet (RFC 8446, 5.1 and 6). rustls would say access_denied.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// For clients that speak HTTP where TLS is spoken.
const NO_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 38\r\n\
    connection: close\r\n\r\n400: this port is for HTTPS, not HTTP\n";

/// How the handshakes of all clients ended so far.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Handshakes {
    /// Those that led to a connection.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Those that were refused, given up or too slow.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// A client's connection after the handshake, and what it was shown.
pub(crate) type Secured = (TlsStream<TcpStream>, Arc<Certified>);

/// Shakes hands with a client; none: it wanted nothing, or has all that it wanted.
///
/// # Errors
///
/// When the handshake fails, or takes too long.
pub(crate) async fn shake(tls: &Tls, stream: TcpStream) -> io::Result<Option<Secured>> {
    let ended = timeout(LIMIT, begin(tls, stream)).await.map_err(io::Error::from).flatten();
    match &ended {
        Ok(Some(_)) => tls.handshakes.done.fetch_add(1, Relaxed),
        Ok(None) => 0,
        Err(_) => tls.handshakes.failed.fetch_add(1, Relaxed),
    };
    ended
}

async fn begin(tls: &Tls, mut stream: TcpStream) -> io::Result<Option<Secured>> {
    let mut first = [0];
    match (stream.peek(&mut first).await?, first) {
        // As those do who only look whether somebody listens.
        (0, _) => return Ok(None),
        (_, [byte]) if byte.is_ascii_alphabetic() => {
            // What is left unread when a connection is closed takes the answer with it.
            let _ = stream.read(&mut vec![0; 16 << 10]).await?;
            stream.write_all(NO_TLS).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks HTTP without TLS"));
        }
        (_, [HANDSHAKE]) => {}
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks no TLS")),
    }
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let hello = start.client_hello();
    let asks = hello.alpn().is_some_and(|mut names| names.any(|name| name == challenges::PROTOCOL));
    // A client names no address (RFC 6066, 3): it means the one that it has connected to.
    let name = match hello.server_name() {
        Some(name) => name.to_owned(),
        None => host_of(start.io.local_addr()?.ip().to_canonical()),
    };
    if asks && let Some(answer) = tls.challenges.tls(&name) {
        // Whoever asked has seen all that it wanted (RFC 8737, 3).
        start.into_stream(answer).await?.shutdown().await?;
        return Ok(None);
    }
    match tls.find(&name) {
        Some(certified) => Ok(Some((start.into_stream(certified.config()).await?, certified))),
        None => Err(refuse(&mut start, &name).await),
    }
}

async fn refuse(start: &mut StartHandshake<TcpStream>, name: &str) -> io::Error {
    // Whether it is read or not: the connection ends.
    let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
    let _ = start.io.shutdown().await;
    io::Error::new(io::ErrorKind::NotFound, format!("there is no certificate for {name:?}"))
}
