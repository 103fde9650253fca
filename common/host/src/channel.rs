//! A channel of an SSH connection (RFC 4254, section 5) as a byte stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The bytes that a channel takes in before they are read.
///
/// russh widens a channel's window when data arrives, not when it is read, and one channel that can't take its data
/// stops the whole connection. So the room is generous, and a reader that doesn't come back to it within
/// [`STALLED`] loses its own channel rather than holding up everybody's connection.
const ROOM: usize = 32 << 20;

/// The longest time for which a full channel holds up its connection.
const STALLED: Duration = Duration::from_secs(30);

/// How long the other side of a channel that nobody reads any more has to close it.
const LEAVING: Duration = Duration::from_secs(2);

/// A channel as a byte stream. A connection that is lost is an error to its reader, not an end of file; a writer whose
/// peer is gone gets an error instead of waiting for a window that nobody will widen.
pub(crate) struct ChannelStream {
    incoming: mpsc::UnboundedReceiver<io::Result<Bytes>>,
    unread: Bytes,
    room: Arc<Semaphore>,
    outgoing: Pin<Box<dyn AsyncWrite + Send>>,
    closed: CancellationToken,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    _dropped: oneshot::Sender<()>,
}

impl ChannelStream {
    pub(crate) fn new(channel: Channel<Msg>) -> Self {
        let (arriving, incoming) = mpsc::unbounded_channel();
        let (dropped, abandoned) = oneshot::channel();
        let room = Arc::new(Semaphore::new(ROOM));
        let closed = CancellationToken::new();
        let outgoing = Box::pin(channel.make_writer());
        tokio::spawn(take_in(channel, arriving, Arc::clone(&room), closed.clone(), abandoned));
        let closing = Box::pin(closed.clone().cancelled_owned());
        Self { incoming, unread: Bytes::new(), room, outgoing, closed, closing, _dropped: dropped }
    }
}

/// Moves what arrives on the channel to its reader until the channel is closed or the reader is gone.
async fn take_in(
    mut channel: Channel<Msg>,
    arriving: mpsc::UnboundedSender<io::Result<Bytes>>,
    room: Arc<Semaphore>,
    closed: CancellationToken,
    mut abandoned: oneshot::Receiver<()>,
) {
    let _closed = closed.drop_guard();
    let mut arriving = Some(arriving);
    loop {
        let message = tokio::select! {
            message = channel.wait() => message,
            _ = &mut abandoned => break,
        };
        match message {
            Some(ChannelMsg::Data { data }) => {
                let Some(reader) = &arriving else { continue };
                let needed = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let permits = tokio::select! {
                    permits = timeout(STALLED, room.acquire_many(needed)) => permits,
                    _ = &mut abandoned => break,
                };
                let Ok(Ok(permits)) = permits else {
                    let _ = reader.send(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("{} MiB were received and nobody read them for {STALLED:?}", ROOM >> 20),
                    )));
                    break;
                };
                permits.forget();
                if reader.send(Ok(data)).is_err() {
                    break;
                }
            }
            Some(ChannelMsg::Eof) => arriving = None,
            Some(ChannelMsg::Close) => return,
            Some(_) => {}
            None => {
                if let Some(reader) = arriving {
                    let _ = reader.send(Err(io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        "the SSH connection was lost",
                    )));
                }
                return;
            }
        }
    }
    let _ = timeout(LEAVING, leave(&mut channel)).await;
    let _ = channel.close().await;
}

/// Says that nothing more comes, and waits until the other side closes: what is closed from here first, russh never forgets, which
/// costs some kilobytes each time.
async fn leave(channel: &mut Channel<Msg>) {
    let _ = channel.eof().await;
    while !matches!(channel.wait().await, Some(ChannelMsg::Close) | None) {}
}

impl AsyncRead for ChannelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.incoming.poll_recv(cx)) {
                Some(Ok(data)) => {
                    self.room.add_permits(data.len());
                    self.unread = data;
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.unread.len().min(buf.remaining());
        buf.put_slice(self.unread.split_to(length).chunk());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let gone = || Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the channel is closed")));
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.closed.is_cancelled() {
            return gone();
        }
        match self.outgoing.as_mut().poll_write(cx, buf) {
            Poll::Pending if self.closing.as_mut().poll(cx).is_ready() => gone(),
            result => result,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed.is_cancelled() {
            return Poll::Ready(Ok(()));
        }
        self.outgoing.as_mut().poll_shutdown(cx)
    }
}
