//! The near end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use yamux::Mode;

use crate::Error;
use crate::line::{Accepted, Answer, Call, hear, say};
use crate::mux::{EACH, Inner, Opener, connection};

/// Connections that were accepted on the host and are not taken yet.
const BACKLOG: usize = 64;
/// From one ping to the next.
const PING_EVERY: Duration = Duration::from_secs(15);
/// How long an answer to a ping may take, before the bridge is given up.
const PONG_WITHIN: Duration = Duration::from_secs(30);

/// A way to what a host can connect to, and from what connects to it there. Clones share it. It ends with the byte stream that it
/// goes over.
#[derive(Clone)]
pub struct Bridge {
    opener: Opener,
    room: Arc<Semaphore>,
    listeners: Listeners,
}

type Listeners = Arc<Mutex<HashMap<u16, mpsc::Sender<BridgeStream>>>>;

/// A connection over a bridge. After `shutdown`, the other direction can still be read.
pub struct BridgeStream {
    inner: Inner,
    opener: Opener,
    is_shut: bool,
    /// Gone with the stream; none: the far end has begun it.
    _room: Option<OwnedSemaphorePermit>,
}

/// A port of a host's 127.0.0.1. The host stops listening when it is dropped; accepted streams go on.
pub struct BridgeListener {
    port: u16,
    accepted: mpsc::Receiver<BridgeStream>,
    listeners: Listeners,
    /// The far end listens for as long as it is open.
    open: Inner,
    _room: OwnedSemaphorePermit,
}

impl Bridge {
    /// A bridge over `stream`, at whose other end is [`crate::serve`]. Must be called in a tokio runtime.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (opener, mut came, moving) = connection(stream, Mode::Client);
        let listeners = Listeners::default();
        let room = Arc::new(Semaphore::new(EACH));
        let bridge = Self { opener, room, listeners: Arc::clone(&listeners) };
        let opener = bridge.opener.clone();
        let hand_out = async move {
            while let Some(mut stream) = came.recv().await {
                let (listeners, opener) = (Arc::clone(&listeners), opener.clone());
                tokio::spawn(async move {
                    let Ok(Accepted { port }) = hear(&mut stream).await else { return };
                    let listener =
                        listeners.lock().unwrap_or_else(PoisonError::into_inner).get(&port).cloned();
                    if let Some(listener) = listener {
                        // Nobody accepts any more: the connection is closed.
                        let _ = listener.send(BridgeStream::new(stream, opener, None)).await;
                    }
                });
            }
        };
        let (ended, pinging) = (Arc::clone(&bridge.listeners), bridge.clone());
        tokio::spawn(async move {
            tokio::select! {
                // How it broke matters to nobody: whoever uses it finds that it is closed.
                _ = moving => {}
                () = hand_out => {}
                () = pinging.ping_on() => {}
            }
            ended.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        bridge
    }

    /// Whether its stream has ended.
    pub fn is_closed(&self) -> bool {
        self.opener.is_closed()
    }

    /// Asks whether the far end lives.
    ///
    /// # Errors
    /// Those of a bridge that is no more.
    pub async fn ping(&self) -> Result<(), Error> {
        match self.call(&Call::Ping).await? {
            (Answer::Pong, _) => Ok(()),
            (other, _) => Err(refused(other)),
        }
    }

    /// Pings now and then. Returns once that isn't answered.
    async fn ping_on(&self) {
        loop {
            sleep(PING_EVERY).await;
            if !matches!(timeout(PONG_WITHIN, self.ping()).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Connects to an address as the host sees it.
    ///
    /// # Errors
    /// [`Error::NotListening`] where nobody accepts there; those of a bridge that is no more.
    pub async fn connect_tcp(&self, address: SocketAddr) -> Result<BridgeStream, Error> {
        self.connect(&Call::Tcp(address)).await
    }

    /// Connects to a unix socket of the host.
    ///
    /// # Errors
    /// The same.
    pub async fn connect_unix(&self, path: &Path) -> Result<BridgeStream, Error> {
        self.connect(&Call::Unix(path.to_owned())).await
    }

    /// Listens on a port of the host's 127.0.0.1: on that one where it is free, else on another.
    ///
    /// # Errors
    /// [`Error::Refused`]; those of a bridge that is no more.
    pub async fn listen(&self, port: u16) -> Result<BridgeListener, Error> {
        let room = self.room().await?;
        match self.call(&Call::Listen(port)).await? {
            (Answer::Listening(port), open) => {
                let (accepting, accepted) = mpsc::channel(BACKLOG);
                let listeners = Arc::clone(&self.listeners);
                listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(port, accepting);
                // Where the bridge has ended meanwhile, nobody would end the wait.
                if self.is_closed() {
                    return Err(Error::Closed);
                }
                Ok(BridgeListener { port, accepted, listeners, open, _room: room })
            }
            (other, _) => Err(refused(other)),
        }
    }

    async fn connect(&self, call: &Call) -> Result<BridgeStream, Error> {
        let room = self.room().await?;
        match self.call(call).await? {
            (Answer::Connected, stream) => Ok(BridgeStream::new(stream, self.opener.clone(), Some(room))),
            (other, _) => Err(refused(other)),
        }
    }

    /// Room for one stream more.
    async fn room(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.room).acquire_owned().await.map_err(|_| Error::Closed)
    }

    async fn call(&self, call: &Call) -> Result<(Answer, Inner), Error> {
        let mut stream = self.opener.open().await?;
        say(&mut stream, call).await?;
        Ok((hear(&mut stream).await?, stream))
    }
}

/// What an answer means that isn't the one hoped for.
fn refused(answer: Answer) -> Error {
    match answer {
        Answer::NotListening(reason) => Error::NotListening(reason),
        Answer::Refused(reason) => Error::Refused(reason),
        Answer::Pong | Answer::Connected | Answer::Listening(_) => Error::Foreign(None),
    }
}

impl BridgeListener {
    /// The port on the host's 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The next connection; waits for it without a limit. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`Error::Closed`] once the bridge is.
    pub async fn accept(&mut self) -> Result<BridgeStream, Error> {
        tokio::select! {
            accepted = self.accepted.recv() => accepted.ok_or(Error::Closed),
            // The far end says nothing more on it: it has ended.
            _ = self.open.fill_buf() => Err(Error::Closed),
        }
    }
}

impl Drop for BridgeListener {
    fn drop(&mut self) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.port);
    }
}

impl BridgeStream {
    const fn new(inner: Inner, opener: Opener, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { inner, opener, is_shut: false, _room: room }
    }

    /// Whether what looks like the peer's end is a connection that was cut: both directions ended at once, or the bridge did.
    fn is_cut(&self) -> bool {
        (self.inner.get_ref().get_ref().is_closed() && !self.is_shut) || self.opener.is_closed()
    }
}

impl AsyncRead for BridgeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let wanted = buf.remaining() > 0;
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if wanted && buf.filled().len() == before && self.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BridgeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut = true;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("closed", &self.is_closed()).finish()
    }
}

impl fmt::Debug for BridgeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BridgeStream")
    }
}

impl fmt::Debug for BridgeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeListener").field("port", &self.port).finish()
    }
}
