//! The TCP socket below an SSH connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket that acknowledges at once what it receives. OpenSSH's server leaves Nagle's algorithm on until a session
/// has run something, so its small answers wait for the acknowledgement of the one before, which Linux delays by 40 ms.
pub(crate) struct PromptSocket(TcpStream);

impl PromptSocket {
    pub(crate) async fn connect(address: &str, port: u16) -> io::Result<Self> {
        let socket = TcpStream::connect((address, port)).await?;
        socket.set_nodelay(true)?;
        Ok(Self(socket))
    }

    /// Linux forgets the option as it goes (tcp(7)), so it is set after every read; without it all works, slower.
    fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        let _ = self.0.set_quickack(true);
    }
}

impl AsyncRead for PromptSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.0).poll_read(cx, buf);
        if result.is_ready() {
            self.acknowledge();
        }
        result
    }
}

impl AsyncWrite for PromptSocket {
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
