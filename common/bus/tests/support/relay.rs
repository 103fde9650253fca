//! A relay before a server, that can lose the answer to what it has passed on, and hold all back for a while.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes bytes on until it sees a text that it was told to wait for: that is passed on too, but its connection ends before
/// an answer comes back.
#[derive(Clone)]
pub(crate) struct Relay {
    port: u16,
    cut_after: Arc<Mutex<Option<&'static str>>>,
    held: watch::Sender<bool>,
}

impl Relay {
    /// Listens before the server at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let server = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Self { port, cut_after: Arc::default(), held: watch::Sender::new(false) };
        let (cut_after, held) = (Arc::clone(&relay.cut_after), relay.held.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(pass(client, server, Arc::clone(&cut_after), held.subscribe()));
            }
        });
        relay
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Loses the answer to the next message that holds this text.
    pub(crate) fn lose_the_answer_to(&self, text: &'static str) {
        *self.cut_after.lock().unwrap() = Some(text);
    }

    /// Holds all that comes, in both directions, until `go_on`.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Passes on what was held, and what comes.
    pub(crate) fn go_on(&self) {
        self.held.send_replace(false);
    }

    /// Whether it has lost it.
    pub(crate) fn has_lost_it(&self) -> bool {
        self.cut_after.lock().unwrap().is_none()
    }
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    cut_after: Arc<Mutex<Option<&'static str>>>,
    mut held: watch::Receiver<bool>,
) {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(pass_back(from_server, to_client, held.clone()));
    let mut buffer = vec![0; 64 << 10];
    let mut rest = None;
    loop {
        let read = match rest {
            // The rest of a batch is let through.
            Some(until) => tokio::time::timeout_at(until, from_client.read(&mut buffer)).await,
            None => Ok(from_client.read(&mut buffer).await),
        };
        let Ok(Ok(read @ 1..)) = read else { break };
        held.wait_for(|held| !held).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let cut = cut_after.lock().unwrap().take_if(|wanted| text.contains(*wanted)).is_some();
        if cut {
            back.abort();
            rest = Some(tokio::time::Instant::now() + Duration::from_millis(200));
        }
        if to_server.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    back.abort();
}

async fn pass_back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        held.wait_for(|held| !held).await.unwrap();
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}
