//! The near end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use yamux::Mode;

use crate::Error;
use crate::line::{Accepted, Answer, Call, hear, say};
use crate::mux::{Inner, Opener, connection};

/// Connections that were accepted on the host and are not taken yet.
const BACKLOG: usize = 64;

/// A way to what a host can connect to, and from what connects to it there. Clones share it. It ends with the byte stream that it
/// goes over.
#[derive(Clone)]
pub struct Bridge {
    opener: Opener,
    listeners: Listeners,
}

type Listeners = Arc<Mutex<HashMap<u16, mpsc::Sender<BridgeStream>>>>;

/// A connection over a bridge. After `shutdown`, the other direction can still be read.
pub struct BridgeStream(Inner);

/// A port of a host's 127.0.0.1. The host stops listening when it is dropped; accepted streams go on.
pub struct BridgeListener {
    port: u16,
    accepted: mpsc::Receiver<BridgeStream>,
    listeners: Listeners,
    /// The far end listens for as long as it is open.
    _open: Inner,
}

impl Bridge {
    /// A bridge over `stream`, at whose other end is [`crate::serve`]. Must be called in a tokio runtime.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (opener, mut came, moving) = connection(stream, Mode::Client);
        let listeners = Listeners::default();
        let bridge = Self { opener, listeners: Arc::clone(&listeners) };
        let hand_out = async move {
            while let Some(mut stream) = came.recv().await {
                let listeners = Arc::clone(&listeners);
                tokio::spawn(async move {
                    let Ok(Accepted { port }) = hear(&mut stream).await else { return };
                    let listener =
                        listeners.lock().unwrap_or_else(PoisonError::into_inner).get(&port).cloned();
                    if let Some(listener) = listener {
                        // Nobody accepts any more: the connection is closed.
                        let _ = listener.send(BridgeStream(stream)).await;
                    }
                });
            }
        };
        let ended = Arc::clone(&bridge.listeners);
        tokio::spawn(async move {
            tokio::select! {
                // How it broke matters to nobody: whoever uses it finds that it is closed.
                _ = moving => {}
                () = hand_out => {}
            }
            ended.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        bridge
    }

    /// Whether its stream has ended.
    pub fn is_closed(&self) -> bool {
        self.opener.is_closed()
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
        match self.call(&Call::Listen(port)).await? {
            (Answer::Listening(port), open) => {
                let (accepting, accepted) = mpsc::channel(BACKLOG);
                let listeners = Arc::clone(&self.listeners);
                listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(port, accepting);
                Ok(BridgeListener { port, accepted, listeners, _open: open })
            }
            (other, _) => Err(refused(other)),
        }
    }

    async fn connect(&self, call: &Call) -> Result<BridgeStream, Error> {
        match self.call(call).await? {
            (Answer::Connected, stream) => Ok(BridgeStream(stream)),
            (other, _) => Err(refused(other)),
        }
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
        Answer::Connected | Answer::Listening(_) => Error::Foreign(None),
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
        self.accepted.recv().await.ok_or(Error::Closed)
    }
}

impl Drop for BridgeListener {
    fn drop(&mut self) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.port);
    }
}

impl AsyncRead for BridgeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for BridgeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
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
