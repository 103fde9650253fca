//! A relay before the server that breaks connections in the middle of what they carry.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes bytes on. A connection that carries more than a number of them one way is broken there, as often as it was told to.
pub(crate) struct Relay {
    address: SocketAddr,
    cuts: Arc<Cuts>,
}

struct Cuts {
    /// So many bytes towards the client are let through.
    down: u64,
    /// So many towards the server.
    up: u64,
    left: AtomicU64,
    made: AtomicU64,
}

impl Relay {
    /// Listens before the server at `url`, and breaks `times` connections.
    pub(crate) async fn before(url: &str, up: u64, down: u64, times: u64) -> Self {
        let server = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(Cuts { down, up, left: AtomicU64::new(times), made: AtomicU64::default() });
        let shared = Arc::clone(&cuts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let cuts = Arc::clone(&shared);
                tokio::spawn(async move {
                    let ((client_in, client_out), (server_in, server_out)) =
                        (client.into_split(), server.into_split());
                    // Either way ends the connection as a whole.
                    tokio::select! {
                        () = cuts.pass(client_in, server_out, cuts.up) => {},
                        () = cuts.pass(server_in, client_out, cuts.down) => {},
                    }
                });
            }
        });
        Self { address, cuts }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has broken.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.made.load(Ordering::SeqCst)
    }
}

impl Cuts {
    async fn pass(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, most: u64) {
        let (mut passed, mut buffer) = (0, vec![0; 64 << 10]);
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            passed += read as u64;
            let fewer = |left: u64| left.checked_sub(1);
            if passed > most && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok() {
                self.made.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}
