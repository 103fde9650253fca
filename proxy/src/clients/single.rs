use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::access_log::Recorded;
use crate::exchange::Truncated;
use crate::relay::Body;

/// Bytes that are taken from a client at once where the end of a body is not known beforehand, or after it.
const AHEAD: usize = 8 << 10;

/// A client's stream of which one request can be read; then it ends, once that is answered. So whoever serves it (hyper)
/// never reads the head of a request that was not looked at before.
#[derive(Debug)]
pub(crate) struct Single<S> {
    stream: S,
    /// What was read from the stream and is still to be read here, or by whoever comes after.
    first: Bytes,
    /// Bytes of the head that are still to be read.
    head: usize,
    body: Body,
    gate: Arc<Gate>,
}

/// What those who read a request and those who answer it tell each other.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    answered: AtomicBool,
    upgraded: AtomicBool,
    /// The next request was asked for, and this has come of it so far.
    next: Mutex<Option<Bytes>>,
}

/// The body of the answer, at whose end the gate learns of it.
#[derive(Debug)]
pub(crate) struct Answer {
    body: Recorded,
    gate: Arc<Gate>,
}

impl<S> Single<S> {
    /// The request that begins with `first`, with a head of so many bytes, all of which are there.
    pub(crate) fn new(stream: S, first: Bytes, head: usize, body: Body) -> (Self, Arc<Gate>) {
        let gate = Arc::<Gate>::default();
        (Self { stream, first, head, body, gate: Arc::clone(&gate) }, gate)
    }

    /// A stream that begins with `first`, and of which everything can be read.
    pub(crate) fn whole(stream: S, first: Bytes) -> Self {
        let (single, gate) = Self::new(stream, first, 0, Body::Length(0));
        gate.upgrade();
        single
    }

    /// Gives from what was read before, at most so much.
    fn read_first(&mut self, most: usize, buffer: &mut ReadBuf<'_>) -> usize {
        let length = most.min(self.first.len()).min(buffer.remaining());
        buffer.put_slice(self.first.get(..length).unwrap_or_default());
        self.first.advance(length);
        length
    }
}

impl<S: AsyncRead + Unpin> Single<S> {
    fn poll_body(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            self.first = ready!(self.poll_some(buffer.remaining().min(AHEAD), cx))?;
        }
        let piece = self.first.get(..self.first.len().min(buffer.remaining())).unwrap_or_default();
        let scanned = self.body.scan(piece).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        self.read_first(scanned.length, buffer);
        Poll::Ready(Ok(()))
    }

    /// The request is over. The client may leave, or send the next one already, which waits here.
    fn poll_next(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.gate.upgraded.load(Relaxed) {
            if self.first.is_empty() {
                return Pin::new(&mut self.stream).poll_read(cx, buffer);
            }
            self.read_first(usize::MAX, buffer);
            return Poll::Ready(Ok(()));
        }
        if self.gate.answered.load(Relaxed) {
            self.gate.open(std::mem::take(&mut self.first));
            return Poll::Ready(Ok(()));
        }
        if !self.first.is_empty() {
            return Poll::Pending;
        }
        self.first = ready!(self.poll_some(AHEAD, cx))?;
        // Nothing at all: the client has left.
        if self.first.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_some(&mut self, most: usize, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut room = [0; AHEAD];
        let mut some = ReadBuf::new(room.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut some))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(some.filled())))
    }
}

impl Gate {
    /// The answer changes the protocol: what follows is no request.
    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Relaxed);
    }

    /// What the client has sent after the request, where another may follow.
    pub(crate) fn next(&self) -> Option<Bytes> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn open(&self, rest: Bytes) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(rest);
    }

    fn is_open(&self) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Answer {
    pub(crate) fn new(body: Recorded, gate: Arc<Gate>) -> Self {
        Self { body, gate }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.gate.answered.store(true, Relaxed);
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Truncated;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Single<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.head > 0 {
            this.head -= this.read_first(this.head, buffer);
            return Poll::Ready(Ok(()));
        }
        if this.body.has_ended() { this.poll_next(cx, buffer) } else { this.poll_body(cx, buffer) }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Single<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Where another request may follow, the client's stream goes on.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gate.is_open() { self.poll_flush(cx) } else { Pin::new(&mut self.stream).poll_shutdown(cx) }
    }
}
