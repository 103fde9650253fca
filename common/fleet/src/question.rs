//! One HTTP question to an application, over the host's own network.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cutover_core::ApplicationProtocol;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::Machine;

/// Bytes of an answer that are read.
const BODY_LIMIT: usize = 64 << 10;
/// Characters of an answer that are shown.
const SHOWN: usize = 120;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, up to 64 KiB.
    pub body: Bytes,
}

/// Why there was none.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The host itself can't be reached: nothing is said of the application by that.
    #[error(transparent)]
    OutOfReach(Box<cutover_host::Error>),
    /// Nobody listens, or the connection was lost.
    #[error(transparent)]
    Host(#[from] cutover_host::Error),
    /// It took longer than allowed.
    #[error("no answer from {address} within {limit:?}")]
    Late {
        /// Who was asked.
        address: SocketAddr,
        /// The limit.
        limit: Duration,
    },
    /// What came is not HTTP, or the connection broke.
    #[error("{address} gave no proper HTTP answer")]
    Http {
        /// Who was asked.
        address: SocketAddr,
        /// Why not.
        source: hyper::Error,
    },
    /// The path can't be asked for.
    #[error("'{path}' can't be asked for")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        source: hyper::http::Error,
    },
}

impl NoAnswer {
    /// Whether the same question may be answered later although nobody has mended anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::OutOfReach(source) => source.retryable(),
            Self::Host(source) => source.retryable(),
            Self::Late { .. } | Self::Http { .. } => true,
            Self::Path { .. } => false,
        }
    }
}

impl Machine {
    /// Asks `GET path` of `address` on the host's own network, on a connection of its own and in what is spoken there;
    /// redirects are not followed. `limit` counts once the host itself is connected, which has a limit of its own.
    ///
    /// # Errors
    /// No answer within `limit`, or none that is HTTP; a host that can't be reached.
    pub async fn ask(
        &self,
        address: SocketAddr,
        protocol: ApplicationProtocol,
        path: &str,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        let question = match protocol {
            ApplicationProtocol::Http1 => {
                Request::get(path).header(HOST, address.to_string()).header(CONNECTION, "close")
            }
            ApplicationProtocol::H2c => Request::get(format!("http://{address}{path}")),
        };
        let question = question
            .header(USER_AGENT, "cutover-probe")
            .body(Empty::<Bytes>::new())
            .map_err(|source| NoAnswer::Path { path: path.to_owned(), source })?;
        let http = |source| NoAnswer::Http { address, source };
        self.host().connect().await.map_err(|source| NoAnswer::OutOfReach(Box::new(source)))?;
        let ask = async {
            let stream = TokioIo::new(self.host().connect_tcp(address, limit).await?);
            match protocol {
                ApplicationProtocol::Http1 => {
                    let (mut sender, connection) = http1::handshake(stream).await.map_err(http)?;
                    driven(connection, read(sender.send_request(question))).await.map_err(http)
                }
                ApplicationProtocol::H2c => {
                    let handshake = http2::handshake(TokioExecutor::new(), stream);
                    let (mut sender, connection) = handshake.await.map_err(http)?;
                    driven(connection, read(sender.send_request(question))).await.map_err(http)
                }
            }
        };
        tokio::time::timeout(limit, ask).await.unwrap_or(Err(NoAnswer::Late { address, limit }))
    }
}

/// Waits for an answer on a connection, which is driven until then.
async fn driven(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = hyper::Result<Answer>>,
) -> hyper::Result<Answer> {
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

async fn read(response: impl Future<Output = hyper::Result<Response<Incoming>>>) -> hyper::Result<Answer> {
    let answer = response.await?;
    let status = answer.status();
    // A body that breaks off, or is too long, doesn't take the status away.
    let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
    Ok(Answer { status, body: body.map(|body| body.to_bytes()).unwrap_or_default() })
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.body);
        let first: String = text.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
        write!(f, "{}", self.status)?;
        if first.is_empty() { Ok(()) } else { write!(f, " \"{first}\"") }
    }
}
