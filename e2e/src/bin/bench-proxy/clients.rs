//! Clients that keep their connections and ask for nothing more.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::upstream::SMALL;

/// How many connect at a time.
const AT_A_TIME: usize = 64;

pub(crate) struct Clients {
    address: SocketAddr,
    connections: Vec<SendRequest<Empty<Bytes>>>,
}

impl Clients {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connections: Vec::new() }
    }

    /// Adds clients until there are so many; each of the new ones makes so many requests.
    pub(crate) async fn grow(&mut self, count: usize, requests: usize) -> anyhow::Result<()> {
        let missing = count.saturating_sub(self.connections.len());
        let address = self.address;
        let opening = (0..missing).map(|_| client(address, requests));
        let new: Vec<_> = stream::iter(opening).buffer_unordered(AT_A_TIME).try_collect().await?;
        self.connections.extend(new);
        Ok(())
    }

    /// How many have lost their connection.
    pub(crate) fn lost(&self) -> usize {
        self.connections.iter().filter(|connection| connection.is_closed()).count()
    }
}

async fn client(address: SocketAddr, requests: usize) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await.context("a client could not connect")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender, or with the peer.
    tokio::spawn(connection);
    for _ in 0..requests {
        let request = Request::get(SMALL).header(HOST, "bench.example").body(Empty::new())?;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status().is_success(), "a client was answered {}", answer.status());
        answer.into_body().collect().await?;
    }
    Ok(sender)
}
