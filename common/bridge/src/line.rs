//! What is said at the beginning of a stream.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Error;

/// The longest line, in bytes: a path has 4096 at most (`PATH_MAX`), and JSON may escape each.
const MAX_LINE: u64 = 32 << 10;

/// What the near end asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Answer, and nothing else: both sides know by it that the other one lives.
    Ping,
    /// Connect to an address, as the host sees it.
    Tcp(SocketAddr),
    /// Connect to a unix socket of the host.
    Unix(PathBuf),
    /// Listen on a port of the host's 127.0.0.1 for as long as the stream is open: that one where it is free, else another.
    Listen(u16),
}

/// What the far end answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It lives.
    Pong,
    /// The stream is the connection from here on.
    Connected,
    /// It listens on that port.
    Listening(u16),
    /// Nobody accepts there.
    NotListening(String),
    /// It could not be done for another reason.
    Refused(String),
}

/// The first line of a stream that the far end begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// The port that it was accepted at.
    pub(crate) port: u16,
}

/// Says something.
pub(crate) async fn say(stream: &mut (impl AsyncWrite + Unpin), what: &impl Serialize) -> Result<(), Error> {
    let mut line = serde_json::to_vec(what).map_err(|error| Error::Foreign(Some(error)))?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(stream.flush().await?)
}

/// Hears something. No byte beyond the line is taken.
pub(crate) async fn hear<T: DeserializeOwned>(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<T, Error> {
    let mut line = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    match line.last() {
        None => Err(Error::Closed),
        Some(b'\n') => serde_json::from_slice(&line).map_err(|error| Error::Foreign(Some(error))),
        Some(_) => Err(Error::Foreign(None)),
    }
}
