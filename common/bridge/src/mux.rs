//! Many streams over one.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, ConnectionError, Mode};

use crate::Error;

/// What may be on its way to a side that doesn't read, in bytes: all streams together.
const WINDOW: usize = STREAMS * (256 << 10);
/// Streams at once, which each have a window of 256 KiB. One more would end them all, so that each side begins far fewer
/// ([`EACH`]).
const STREAMS: usize = 1024;
/// Streams that one side has begun, at once: who wants another waits until one has ended.
pub(crate) const EACH: usize = 200;
/// Streams that were asked for and don't exist yet.
const ASKED: usize = 16;

/// A stream. What was read ahead of its first line is in its buffer.
pub(crate) type Inner = BufReader<Compat<yamux::Stream>>;

/// Asks for streams of a connection. Clones ask for those of the same one.
#[derive(Clone, Debug)]
pub(crate) struct Opener(mpsc::Sender<oneshot::Sender<yamux::Stream>>);

impl Opener {
    /// A new stream to the other side.
    pub(crate) async fn open(&self) -> Result<Inner, Error> {
        let (opened, stream) = oneshot::channel();
        self.0.send(opened).await.map_err(|_| Error::Closed)?;
        stream.await.map(inner).map_err(|_| Error::Closed)
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// One side of a connection: who asks for streams, those that the other side begins, and what must be polled for anything to
/// move. It ends when the connection does.
pub(crate) fn connection<T>(
    stream: T,
    mode: Mode,
) -> (Opener, mpsc::Receiver<Inner>, impl Future<Output = Result<(), ConnectionError>>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut config = Config::default();
    config.set_max_num_streams(STREAMS).set_max_connection_receive_window(Some(WINDOW));
    let (asking, asked) = mpsc::channel(ASKED);
    // No more can come in than may be open at once.
    let (coming, came) = mpsc::channel(STREAMS);
    let mut moving =
        Moving { connection: Connection::new(stream.compat(), config, mode), asked, waiting: None, coming };
    (Opener(asking), came, poll_fn(move |cx| moving.poll(cx)))
}

struct Moving<T> {
    connection: Connection<Compat<T>>,
    asked: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    waiting: Option<oneshot::Sender<yamux::Stream>>,
    coming: mpsc::Sender<Inner>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Moving<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        loop {
            if self.waiting.is_none()
                && let Poll::Ready(Some(asked)) = self.asked.poll_recv(cx)
            {
                self.waiting = Some(asked);
            }
            if self.waiting.is_some()
                && let Poll::Ready(opened) = self.connection.poll_new_outbound(cx)
            {
                let (stream, waiting) = (opened?, self.waiting.take());
                // Who has asked may have given up meanwhile: then the stream is closed.
                let _ = waiting.map(|waiting| waiting.send(stream));
                continue;
            }
            match self.connection.poll_next_inbound(cx) {
                // Whoever doesn't want it, drops it.
                Poll::Ready(Some(stream)) => drop(self.coming.try_send(inner(stream?))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn inner(stream: yamux::Stream) -> Inner {
    BufReader::new(stream.compat())
}
