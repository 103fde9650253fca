use std::io;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::proxy_protocol::{self, MAX_HEADER, Unread};

/// How long a proxy may take to announce its client; what it says fits into one packet.
const LIMIT: Duration = Duration::from_secs(5);

/// Why a connection on which a client must be announced is refused.
#[derive(Debug, Error)]
pub(crate) enum Unannounced {
    #[error("no PROXY header in time")]
    TooSlow,
    #[error("the connection was closed before its PROXY header")]
    Closed,
    #[error("the PROXY header is malformed: {0}")]
    Malformed(&'static str),
    #[error("reading the PROXY header failed")]
    Read(#[from] io::Error),
}

/// The address of the client that a proxy announces at the beginning of a connection; the proxy's own where it connects for
/// itself. Takes the PROXY header from the connection, and nothing of what follows.
///
/// # Errors
///
/// When there is no header, which the log says: it is the operator's own proxy that is set up otherwise.
pub(crate) async fn announced(stream: &mut TcpStream, proxy: IpAddr) -> Result<IpAddr, Unannounced> {
    let read = timeout(LIMIT, read(stream)).await.unwrap_or(Err(Unannounced::TooSlow));
    match &read {
        Ok(_) => {}
        // Load balancers look by this whether a port is open.
        Err(error @ Unannounced::Closed) => tracing::debug!(%proxy, "{error}"),
        Err(error) => tracing::warn!(%proxy, "a connection is refused: {error}"),
    }
    read.map(|source| source.unwrap_or(proxy))
}

async fn read(stream: &mut TcpStream) -> Result<Option<IpAddr>, Unannounced> {
    let mut bytes = vec![0; MAX_HEADER];
    let mut taken = 0;
    loop {
        let waiting = stream.peek(bytes.get_mut(taken..).unwrap_or_default()).await?;
        if waiting == 0 {
            return Err(Unannounced::Closed);
        }
        let seen = taken + waiting;
        let parsed = proxy_protocol::parse(bytes.get(..seen).unwrap_or_default());
        let end = match parsed {
            Ok(header) => header.length,
            Err(Unread::NeedMore) => seen,
            Err(Unread::Malformed(what)) => return Err(Unannounced::Malformed(what)),
        };
        stream.read_exact(bytes.get_mut(taken..end).unwrap_or_default()).await?;
        taken = end;
        if let Ok(header) = parsed {
            return Ok(header.source.map(|source| source.ip()));
        }
    }
}
