//! One question over HTTP to an application, over the host's own network.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cutover_core::{ApplicationProtocol, Body, HttpCheck, Unmet};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::Machine;

/// Bytes of an answer that are read: enough for the embeddings of some dozens of texts.
const BODY_LIMIT: usize = 1 << 20;
/// Characters of an answer that are shown.
const SHOWN: usize = 120;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, up to 1 MiB.
    pub body: Bytes,
    /// Whether that is all of it: it was not longer, and did not break off. Of one that wasn't, nothing is there.
    pub is_whole: bool,
    /// How long it took, from the request on a connection that was there to the end of the body.
    pub took: Duration,
}

impl Answer {
    /// Judges it.
    ///
    /// # Errors
    /// What it lacks.
    pub fn judge(&self, check: &HttpCheck) -> Result<(), Unmet> {
        check.judge(self.status.as_u16(), if self.is_whole { Body::Whole(&self.body) } else { Body::Part })
    }
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
    #[error("no answer from {asked} within {limit:?}")]
    Late {
        /// Who was asked.
        asked: String,
        /// The limit.
        limit: Duration,
    },
    /// What came is no answer of gRPC.
    #[error("{address} doesn't answer as a server of gRPC does: {found}")]
    Grpc {
        /// Who was asked.
        address: SocketAddr,
        /// What came.
        found: String,
    },
    /// Docker can't say.
    #[error(transparent)]
    Docker(Box<crate::Error>),
    /// There is nothing to ask.
    #[error("{container} has no HEALTHCHECK: its image says none")]
    NoHealthCheck {
        /// The container.
        container: String,
    },
    /// What came is not HTTP, or the connection broke.
    #[error("{address} gave no proper HTTP answer")]
    Http {
        /// Who was asked.
        address: SocketAddr,
        /// Why not.
        source: hyper::Error,
    },
    /// The request can't be made.
    #[error("'{question}' can't be asked for")]
    Question {
        /// The method and the path.
        question: String,
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
            Self::Docker(source) => source.retryable(),
            Self::Late { .. } | Self::Http { .. } | Self::Grpc { .. } => true,
            Self::Question { .. } | Self::NoHealthCheck { .. } => false,
        }
    }
}

impl NoAnswer {
    /// Whether the question did not even come to the host: nothing is said of the application by that.
    pub const fn is_out_of_reach(&self) -> bool {
        use cutover_host::Error::Disconnected;
        matches!(self, Self::OutOfReach(_) | Self::Host(Disconnected { .. }))
    }
}

impl Machine {
    /// Asks `address` on the host's own network what `question` says, on a connection of its own and in what is spoken there;
    /// redirects are not followed. `limit` counts once the host itself is connected, which has a limit of its own.
    ///
    /// # Errors
    /// No answer within `limit`, or none that is HTTP; a host that can't be reached.
    pub async fn ask(
        &self,
        address: SocketAddr,
        protocol: ApplicationProtocol,
        question: &HttpCheck,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        let request = request(address, protocol, question)?;
        let http = |source| NoAnswer::Http { address, source };
        self.within(address, limit, async {
            let stream = TokioIo::new(self.host().connect_tcp(address, limit).await?);
            match protocol {
                ApplicationProtocol::Http1 => {
                    let (mut sender, connection) = http1::handshake(stream).await.map_err(http)?;
                    driven(connection, read(sender.send_request(request))).await.map_err(http)
                }
                ApplicationProtocol::H2c => {
                    let handshake = http2::handshake(TokioExecutor::new(), stream);
                    let (mut sender, connection) = handshake.await.map_err(http)?;
                    driven(connection, read(sender.send_request(request))).await.map_err(http)
                }
            }
        })
        .await
    }

    /// Connects the host, and then asks within `limit`.
    pub(crate) async fn within<T>(
        &self,
        asked: impl ToString,
        limit: Duration,
        ask: impl Future<Output = Result<T, NoAnswer>>,
    ) -> Result<T, NoAnswer> {
        self.host().connect().await.map_err(|source| NoAnswer::OutOfReach(Box::new(source)))?;
        let late = |_| NoAnswer::Late { asked: asked.to_string(), limit };
        tokio::time::timeout(limit, ask).await.map_err(late)?
    }
}

fn request(
    address: SocketAddr,
    protocol: ApplicationProtocol,
    question: &HttpCheck,
) -> Result<Request<Full<Bytes>>, NoAnswer> {
    let own = question.headers.get(HOST.as_str());
    let authority = own.cloned().unwrap_or_else(|| address.to_string());
    let mut request =
        Request::builder().method(question.method().as_str()).header(USER_AGENT, "cutover-probe");
    request = match protocol {
        ApplicationProtocol::Http1 => {
            request.uri(&question.path).header(HOST, authority).header(CONNECTION, "close")
        }
        ApplicationProtocol::H2c => request.uri(format!("http://{authority}{}", question.path)),
    };
    if let Some(headers) = request.headers_mut() {
        for (name, value) in question.headers.iter().filter(|(name, _)| *name != HOST.as_str()) {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                headers.insert(name, value);
            }
        }
    }
    let body = Full::from(question.body.clone().unwrap_or_default());
    request.body(body).map_err(|source| NoAnswer::Question { question: question.to_string(), source })
}

/// Waits for an answer on a connection, which is driven until then.
pub(crate) async fn driven<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = hyper::Result<T>>,
) -> hyper::Result<T> {
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
    let asked = Instant::now();
    let answer = response.await?;
    let status = answer.status();
    // A body that breaks off, or is too long, doesn't take the status away.
    let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await.map(|body| body.to_bytes());
    let is_whole = body.is_ok();
    Ok(Answer { status, body: body.unwrap_or_default(), is_whole, took: asked.elapsed() })
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.body);
        let first: String = text.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
        write!(f, "{}", self.status)?;
        if first.is_empty() { Ok(()) } else { write!(f, " \"{first}\"") }
    }
}
