use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

use super::request_body::Upload;
use super::silence::Silence;
use super::term::Term;
use crate::targets::{Connection, Lease};

/// The body of a response on its way to the client.
#[derive(Debug)]
pub(crate) struct ResponseBody(Source);

#[derive(Debug)]
enum Source {
    Empty,
    Text(Bytes),
    Application(Box<Streaming>),
}

/// What an application sends, with all that must live as long.
#[derive(Debug)]
struct Streaming {
    body: Incoming,
    lease: Lease,
    /// Kept for other requests once the body has ended.
    connection: Option<Connection>,
    term: Term,
    silence: Silence,
    /// When all of it must be over.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The body of the request, where there is one.
    upload: Option<Arc<Upload>>,
    /// Whether an early end is news: a 5xx was counted already.
    counts: bool,
}

/// Why a response ends before its end; the client sees its connection close.
#[derive(Debug, Error)]
pub(crate) enum Truncated {
    #[error("the application stopped in the middle of a response")]
    Application(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the application was silent for too long in the middle of a response")]
    Silent,
    #[error("the request took longer than it may in all")]
    OutOfTime,
    #[error("the application was replaced, and the time for its last responses is over")]
    Replaced,
}

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self(Source::Empty)
    }

    pub(crate) fn text(text: String) -> Self {
        Self::bytes(Bytes::from(text))
    }

    pub(crate) fn bytes(bytes: Bytes) -> Self {
        Self(Source::Text(bytes))
    }

    /// Passes on what an application sends, as it comes. The request is in flight until then, and its connection,
    /// where there is one to keep, goes back to the pool.
    pub(crate) fn application(
        body: Incoming,
        lease: Lease,
        connection: Option<Connection>,
        upload: Option<Arc<Upload>>,
        deadline: Option<Instant>,
        counts: bool,
    ) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        let silence = Silence::new(lease.set().limits.idle);
        let streaming =
            Streaming { body, lease, connection, term: Term::default(), silence, deadline, upload, counts };
        if streaming.body.is_end_stream() {
            streaming.finish();
            return Self::empty();
        }
        Self(Source::Application(Box::new(streaming)))
    }
}

impl Streaming {
    fn finish(self) {
        if let Some(connection) = self.connection {
            self.lease.keep(connection);
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(Err(self.broke(Truncated::OutOfTime))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.silence.end();
                if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
                    self.lease.set().counters.passed_on(data.len());
                }
                Poll::Ready(
                    frame
                        .map(|frame| frame.map_err(|error| self.broke(Truncated::Application(error.into())))),
                )
            }
            Poll::Pending => {
                if self.term.poll_cut(&mut self.lease, cx).is_ready() {
                    return Poll::Ready(Some(Err(Truncated::Replaced)));
                }
                ready!(self.silence.poll_over(cx));
                Poll::Ready(Some(Err(self.broke(Truncated::Silent))))
            }
        }
    }

    /// Notes an early end, unless the client is to blame for it: it has broken off the request.
    fn broke(&self, why: Truncated) -> Truncated {
        if self.upload.as_ref().is_some_and(|upload| upload.is_broken()) {
            return why;
        }
        self.lease.broke(why, self.counts)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Truncated;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Truncated>>> {
        let (frame, ended) = match &mut self.0 {
            Source::Empty => return Poll::Ready(None),
            Source::Text(text) => (Some(Ok(Frame::data(std::mem::take(text)))), true),
            Source::Application(streaming) => {
                let frame = ready!(streaming.poll_frame(cx));
                let ended = matches!(frame, None | Some(Err(_))) || streaming.body.is_end_stream();
                (frame, ended)
            }
        };
        if ended
            && let Source::Application(streaming) = std::mem::replace(&mut self.0, Source::Empty)
            && !matches!(frame, Some(Err(_)))
        {
            streaming.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Source::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Empty => SizeHint::with_exact(0),
            Source::Text(text) => SizeHint::with_exact(text.len() as u64),
            Source::Application(streaming) => streaming.body.size_hint(),
        }
    }
}
