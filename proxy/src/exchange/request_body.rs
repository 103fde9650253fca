use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;
use super::linger::linger;
use super::replay::Take;
use crate::targets::{Counters, TargetSet};

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
        /// Where its bytes are counted.
        counters: Arc<Counters>,
        /// With `Expect: 100-continue`: until when the body is held back at most.
        held: Option<Pin<Box<Sleep>>>,
        /// How many bytes may still come.
        left: u64,
    },
    /// The same, where it may be sent again.
    Again(Take),
}

/// Why the body of a request ends before its end; the application sees its connection close.
#[derive(Debug, Error)]
pub(crate) enum Unsendable {
    #[error("the client stopped in the middle of a request")]
    Client(#[source] hyper::Error),
    #[error("the client sends more than the service takes")]
    TooLarge,
    #[error("the request is sent again elsewhere")]
    Superseded,
}

/// How far the body of a request has come.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Pieces that are taken from the client.
    pieces: Activity,
    bytes: AtomicU64,
    /// The application would take more, and the client has sent no more.
    waits: AtomicBool,
    released: AtomicBool,
    /// It has ended before its end.
    broken: AtomicBool,
    waker: AtomicWaker,
}

impl Upload {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            pieces: Activity::new(),
            bytes: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            released: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// When a piece of the body was last taken from the client.
    pub(crate) fn last_moved(&self) -> Instant {
        self.pieces.last()
    }

    /// How many bytes were taken from the client.
    pub(crate) fn taken(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Whether it is the client that the application, and the proxy, wait for.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.waits.load(Acquire)
    }

    /// Whether the client has broken it off, or sent more than it may: the application can't be blamed for what comes of it.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Acquire)
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
}

impl RequestBody {
    /// A body that is sent to an application of a set as it comes, or, when the client waits for 100, once that has come; of
    /// more bytes than the set takes it breaks off.
    pub(crate) fn streaming(body: Incoming, upload: Arc<Upload>, expects: bool, set: &TargetSet) -> Self {
        let held = expects.then(|| Box::pin(sleep(CONTINUE_LIMIT)));
        let left = set.limits.request_body.unwrap_or(u64::MAX);
        Self::Streaming { body, upload, counters: Arc::clone(&set.counters), held, left }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Unsendable;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsendable>>> {
        let this = self.get_mut();
        let (body, upload, counters, held, left) = match this {
            Self::Empty => return Poll::Ready(None),
            Self::Streaming { body, upload, counters, held, left } => (body, upload, counters, held, left),
            Self::Again(take) => return take.poll_frame(cx),
        };
        if let Some(limit) = held {
            if upload.poll_released(cx).is_pending() && limit.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *held = None;
        }
        let polled = Pin::new(body).poll_frame(cx);
        upload.waits.store(polled.is_pending(), Release);
        let frame = ready!(polled);
        upload.pieces.mark();
        let Some(Ok(frame)) = frame else {
            upload.broken.store(frame.is_some(), Release);
            return Poll::Ready(frame.map(|frame| frame.map_err(Unsendable::Client)));
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        upload.bytes.fetch_add(length, Relaxed);
        counters.taken(length);
        match left.checked_sub(length) {
            Some(rest) => *left = rest,
            None => {
                upload.broken.store(true, Release);
                if let Self::Streaming { body, .. } = std::mem::replace(this, Self::Empty) {
                    linger(body);
                }
                return Poll::Ready(Some(Err(Unsendable::TooLarge)));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { body, .. } => body.is_end_stream(),
            Self::Again(take) => take.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { body, .. } => body.size_hint(),
            Self::Again(take) => take.size_hint(),
        }
    }
}
