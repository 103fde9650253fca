//! Clients that do what makes a proxy leak: they upload, go away in the middle of an answer, or say nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::ask::{Question, ask};
use crate::upstream::{LARGE, SMALL};

const UPLOAD: Duration = Duration::from_millis(50);
const UPLOADED: usize = 64 * 1024;
const HASTY: Duration = Duration::from_millis(20);
const SILENT: Duration = Duration::from_millis(200);
/// How long a silent client stays.
const SILENCE: Duration = Duration::from_secs(5);

pub(crate) struct Misuse {
    uploads: Arc<Counts>,
    /// They end with it.
    _clients: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    missed: AtomicU64,
}

impl Misuse {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let uploads = Arc::new(Counts::default());
        let mut clients = JoinSet::new();
        let counts = Arc::clone(&uploads);
        clients.spawn(every(UPLOAD, move || upload(address, Arc::clone(&counts))));
        clients.spawn(every(HASTY, move || hasty(address)));
        clients.spawn(every(SILENT, move || silent(address)));
        Self { uploads, _clients: clients }
    }

    /// How many uploads there were, and how many of them got no good answer.
    pub(crate) fn stop(self) -> (u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&self.uploads.asked), count(&self.uploads.missed))
    }
}

/// Starts one again and again, whatever became of those before; all end with it.
async fn every<F>(distance: Duration, one: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut clients = JoinSet::new();
    let mut ticks = interval(distance);
    loop {
        ticks.tick().await;
        while clients.try_join_next().is_some() {}
        clients.spawn(one());
    }
}

async fn upload(address: SocketAddr, counts: Arc<Counts>) {
    let content = Some(("application/octet-stream", vec![b'x'; UPLOADED]));
    let answer = ask(Question { address, method: Method::POST, path: SMALL, content }).await;
    counts.asked.fetch_add(1, Ordering::Relaxed);
    if !answer.is_ok_and(|answer| answer.status.is_success()) {
        counts.missed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Goes once the first bytes have come. Whatever fails, it would have gone anyway.
async fn hasty(address: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    let request = format!("GET {LARGE} HTTP/1.1\r\nhost: bench.example\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_ok() {
        let _ = stream.read(&mut [0; 1024]).await;
    }
}

async fn silent(address: SocketAddr) {
    if let Ok(_stream) = TcpStream::connect(address).await {
        sleep(SILENCE).await;
    }
}
