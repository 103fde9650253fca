use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// When something last moved.
#[derive(Debug)]
pub(crate) struct Activity {
    began: Instant,
    /// Milliseconds after `began`.
    moved: AtomicU64,
}

/// A stream whose bytes, in either direction, are noted as activity.
#[derive(Debug)]
pub(crate) struct Noted<T> {
    stream: T,
    activity: Arc<Activity>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), moved: AtomicU64::new(0) }
    }

    pub(crate) fn mark(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Relaxed);
    }

    pub(crate) fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.moved.load(Relaxed))
    }

    /// Waits until nothing has moved for so long.
    pub(crate) async fn silence(&self, limit: Duration) {
        let mut over = self.last() + limit;
        while over > Instant::now() {
            sleep_until(over).await;
            over = self.last() + limit;
        }
    }
}

impl<T> Noted<T> {
    pub(crate) fn new(stream: T, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.activity.mark();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.activity.mark();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
