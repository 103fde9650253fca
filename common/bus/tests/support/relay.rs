//! A relay before a server, that can lose the answer to what it has passed on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes bytes on until it sees a text that it was told to wait for: that is passed on too, but its connection ends before
/// an answer comes back.
#[derive(Clone)]
pub(crate) struct Relay {
    port: u16,
    cut_after: Arc<Mutex<Option<&'static str>>>,
}

impl Relay {
    /// Listens before the server at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let server = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { port: listener.local_addr().unwrap().port(), cut_after: Arc::default() };
        let cut_after = Arc::clone(&relay.cut_after);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(pass(client, server, Arc::clone(&cut_after)));
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

    /// Whether it has lost it.
    pub(crate) fn has_lost_it(&self) -> bool {
        self.cut_after.lock().unwrap().is_none()
    }
}

async fn pass(client: TcpStream, server: TcpStream, cut_after: Arc<Mutex<Option<&'static str>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 64 << 10];
    let mut rest = None;
    loop {
        let read = match rest {
            // The rest of a batch is let through.
            Some(until) => tokio::time::timeout_at(until, from_client.read(&mut buffer)).await,
            None => Ok(from_client.read(&mut buffer).await),
        };
        let Ok(Ok(read @ 1..)) = read else { break };
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
