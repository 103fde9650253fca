//! HTTP/1.1 on one byte stream.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::reply::{Refusal, Reply};
use crate::traffic::Meter;
use crate::{Error, Result};

/// A connection on which nothing moves for this long is dropped, whether idle or stuck. Docker Engines keep idle ones
/// and open new ones where these are gone.
const STALLED: Duration = Duration::from_secs(120);

/// Serves requests on `stream` until the peer closes it. Docker Engines try HTTPS first; they turn to HTTP when they are answered in
/// it, with 400, and those with containerd's image store only then.
pub(crate) async fn serve<S, H, F>(stream: S, meter: &Meter, handle: H) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = std::result::Result<Reply, Refusal>>,
{
    let service = service_fn(|request| {
        let handled = handle(request);
        async move { Ok::<_, Infallible>(handled.await.unwrap_or_else(Refusal::into_reply).into_response()) }
    });
    let own = Meter::default();
    let stream = Metered { stream, total: meter.clone(), own: own.clone() };
    let mut connection =
        pin!(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    loop {
        let before = own.read();
        match tokio::time::timeout(STALLED, connection.as_mut()).await {
            Ok(Err(error)) if error.is_parse() => return Ok(()),
            Ok(ended) => return ended.map_err(Error::Connection),
            Err(_) if own.read() == before && !meter.is_working() => {
                return Err(Error::Stalled { after: STALLED });
            }
            Err(_) => {}
        }
    }
}

/// A stream that counts what passes.
struct Metered<S> {
    stream: S,
    total: Meter,
    own: Meter,
}

impl<S> Metered<S> {
    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.total.add_sent(bytes);
            self.own.add_sent(bytes);
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let received = buffer.filled().len() - before;
        if received > 0 {
            self.total.add_received(received);
            self.own.add_received(received);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
