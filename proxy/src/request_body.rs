use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// How long a body is held back for the application's 100: it may never send one (RFC 9110, 10.1.1).
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);

/// The body of a request on its way to the application.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// There is none.
    Empty,
    /// Passed on as it comes.
    Streaming {
        /// What the client sends.
        body: Incoming,
        /// What the waiting exchange knows of it.
        upload: Arc<Upload>,
        /// With `Expect: 100-continue`: until when the body is held back at most.
        held: Option<Pin<Box<Sleep>>>,
    },
}

/// How far the body of a request has come.
#[derive(Debug)]
pub(crate) struct Upload {
    began: Instant,
    /// Milliseconds after `began` at which a piece was last taken from the client.
    moved: AtomicU64,
    released: AtomicBool,
    waker: AtomicWaker,
}

impl Upload {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            moved: AtomicU64::new(0),
            released: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// When a piece of the body was last taken from the client.
    pub(crate) fn last_moved(&self) -> Instant {
        self.began + Duration::from_millis(self.moved.load(Relaxed))
    }

    /// The application wants the body.
    pub(crate) fn release(&self) {
        self.released.store(true, Release);
        self.waker.wake();
    }

    fn poll_released(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.released.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn mark(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Relaxed);
    }
}

impl RequestBody {
    /// A body that is sent to the application as it comes, or, when the client waits for 100, once that has come.
    pub(crate) fn streaming(body: Incoming, upload: Arc<Upload>, expects: bool) -> Self {
        let held = expects.then(|| Box::pin(sleep(CONTINUE_LIMIT)));
        Self::Streaming { body, upload, held }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Streaming { body, upload, held } = self.get_mut() else { return Poll::Ready(None) };
        if let Some(limit) = held {
            if upload.poll_released(cx).is_pending() && limit.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *held = None;
        }
        let frame = Pin::new(body).poll_frame(cx);
        if frame.is_ready() {
            upload.mark();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { body, .. } => body.size_hint(),
        }
    }
}
