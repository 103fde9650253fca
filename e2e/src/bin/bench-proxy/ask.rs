//! One HTTP/1.1 request on a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take; Caddy's, to a configuration, is the longest.
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Question {
    pub(crate) address: SocketAddr,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// The body with its type.
    pub(crate) content: Option<(&'static str, Vec<u8>)>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The header `x-version`.
    pub(crate) version: Option<String>,
}

pub(crate) async fn ask(question: Question) -> anyhow::Result<Answer> {
    timeout(LIMIT, exchange(question)).await.context("no answer in time")?
}

/// The version that answers a request for a small body.
pub(crate) async fn version(address: SocketAddr) -> anyhow::Result<Option<String>> {
    let answer = ask(Question { address, method: Method::GET, path: "/1k", content: None }).await?;
    ensure!(answer.status.is_success(), "the answer was {}", answer.status);
    Ok(answer.version)
}

async fn exchange(question: Question) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(question.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    let request = Request::builder().method(question.method).uri(question.path);
    let mut request = request.header(HOST, question.address.to_string());
    let mut body = Bytes::new();
    if let Some((kind, content)) = question.content {
        request = request.header(CONTENT_TYPE, kind);
        body = content.into();
    }
    let answer = sender.send_request(request.body(Full::new(body))?).await?;
    let version = answer.headers().get("x-version").and_then(|version| version.to_str().ok());
    let (version, status) = (version.map(str::to_owned), answer.status());
    answer.into_body().collect().await?;
    Ok(Answer { status, version })
}
