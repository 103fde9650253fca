//! A way to the server that ends at a chosen message of its client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the server may take to do what the last message asks for. Nothing waits for it where it never answers.
const ANSWER: Duration = Duration::from_millis(200);

/// The message that is the last one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last {
    /// The one with this number, from 1, never comes to the server.
    Lost(usize),
    /// The server does what the one with this number asks for, and its answer never comes back.
    Unanswered(usize),
}

/// A relay. All that goes through it ends when it is dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    cut: watch::Receiver<bool>,
    _connections: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn start(server: SocketAddr, last: Last) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(false);
        let cut = Arc::new(cut);
        let messages = Arc::new(AtomicUsize::new(0));
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                carried.spawn(carry(client, server, last, Arc::clone(&messages), Arc::clone(&cut)));
            }
        });
        Self { address, cut: is_cut, _connections: connections }
    }

    /// Waits until the last message has come.
    pub(crate) async fn is_cut(&mut self) {
        self.cut.wait_for(|cut| *cut).await.unwrap();
    }
}

/// A client sends its next message once it has the answer to the one before, so each read is one.
async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    last: Last,
    messages: Arc<AtomicUsize>,
    cut: Arc<watch::Sender<bool>>,
) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Some(message) = read.ok().filter(|length| *length > 0).and_then(|length| asked.get(..length)) else { return };
                let number = messages.fetch_add(1, Ordering::SeqCst) + 1;
                match last {
                    Last::Lost(last) if number >= last => {
                        cut.send_replace(true);
                        return std::future::pending().await;
                    }
                    Last::Unanswered(last) if number >= last => {
                        server.write_all(message).await.unwrap();
                        let _ = tokio::time::timeout(ANSWER, server.read(&mut answered)).await;
                        cut.send_replace(true);
                        return std::future::pending().await;
                    }
                    _ => if server.write_all(message).await.is_err() { return },
                }
            }
            read = server.read(&mut answered) => {
                let Some(answer) = read.ok().filter(|length| *length > 0).and_then(|length| answered.get(..length)) else { return };
                if client.write_all(answer).await.is_err() { return }
            }
        }
    }
}
