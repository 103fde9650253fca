//! How much memory it takes to store and to read. Alone in its program: what is measured is the whole process.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

#[path = "support/server.rs"]
mod server;

use std::pin::Pin;
use std::task::{Context, Poll};

use cutover_store::{Sizes, Store};
use tokio::io::{AsyncRead, ReadBuf};

const LENGTH: u64 = 200 << 20;
/// Three parts of 8 MiB, what the client and the connections take, and some air.
const LIMIT: u64 = 64 << 20;

/// Content that is nowhere the same and never whole in memory.
struct Endless(u64);

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        while buffer.remaining() >= 8 {
            self.0 += 1;
            buffer.put_slice(&self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
        Poll::Ready(Ok(()))
    }
}

/// The most memory that this process has had at once, in bytes (proc(5), VmHWM).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn what_is_large_is_never_whole_in_memory() {
    let address = server::new_bucket().await;
    let store = Store::in_bucket(&address, Sizes::default()).await.unwrap();
    store.put_bytes(b"the client is warm").await.unwrap();
    let before = peak();
    let content = tokio::io::AsyncReadExt::take(Endless(0), LENGTH);
    let stored = store.put(content, None).await.unwrap();
    assert_eq!(stored.size, LENGTH);
    store.verify(&stored.digest).await.unwrap();
    let taken = peak() - before;
    assert!(taken < LIMIT, "it took {} MiB", taken >> 20);
}
