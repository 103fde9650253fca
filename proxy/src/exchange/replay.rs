use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::HeaderMap;

use super::request_body::{RequestBody, Unsendable};

/// Bytes of a request's body that are kept in order to send them again.
const MOST_KEPT: usize = 64 << 10;

/// The body of a request that can be sent again, as long as not too much of it has come: an application of HTTP/2 may say of a
/// request that it has not processed it, when some of the body was sent already (RFC 9113, 8.7).
#[derive(Debug)]
pub(crate) struct Replay(Arc<Mutex<Recording>>);

/// The body as it is sent one of these times.
#[derive(Debug)]
pub(crate) struct Take {
    recording: Arc<Mutex<Recording>>,
    /// Of these, only the last one is sent.
    number: u64,
    /// How much of what was kept it has sent.
    sent: usize,
    /// It has sent the end.
    ended: bool,
}

#[derive(Debug)]
struct Recording {
    /// What has not come yet.
    rest: RequestBody,
    kept: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// Nothing more comes.
    ended: bool,
    /// Whether all that has come is kept.
    is_whole: bool,
    /// The number of the last take.
    takes: u64,
}

impl Replay {
    pub(crate) fn new(body: RequestBody) -> Self {
        let (kept, trailers) = (Vec::new(), None);
        let recording = Recording { rest: body, kept, trailers, ended: false, is_whole: true, takes: 0 };
        Self(Arc::new(Mutex::new(recording)))
    }

    /// The body from its beginning; an earlier take is broken off.
    pub(crate) fn take(&self) -> Take {
        let mut recording = lock(&self.0);
        recording.takes += 1;
        Take { recording: Arc::clone(&self.0), number: recording.takes, sent: 0, ended: false }
    }

    pub(crate) fn is_whole(&self) -> bool {
        lock(&self.0).is_whole
    }

    /// It won't be sent again.
    pub(crate) fn forget(&self) {
        lock(&self.0).forget();
    }
}

impl Recording {
    fn forget(&mut self) {
        self.is_whole = false;
        self.kept = Vec::new();
        self.trailers = None;
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if !self.is_whole {
            return;
        }
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) if self.kept.len() + data.len() > MOST_KEPT => self.forget(),
            (Some(data), _) => self.kept.extend_from_slice(data),
            (None, trailers) => self.trailers = trailers.cloned(),
        }
    }
}

impl Take {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unsendable>>> {
        let mut recording = lock(&self.recording);
        if self.number != recording.takes {
            return Poll::Ready(Some(Err(Unsendable::Superseded)));
        }
        if let Some(kept) = recording.kept.get(self.sent..).filter(|kept| !kept.is_empty()) {
            let kept = Bytes::copy_from_slice(kept);
            self.sent += kept.len();
            return Poll::Ready(Some(Ok(Frame::data(kept))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if recording.ended {
            self.ended = true;
            return Poll::Ready(recording.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let frame = ready!(Pin::new(&mut recording.rest).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                recording.keep(frame);
                self.sent = recording.kept.len();
                self.ended = frame.is_trailers();
            }
            Some(Err(_)) => recording.forget(),
            None => self.ended = true,
        }
        recording.ended = self.ended;
        Poll::Ready(frame)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let recording = lock(&self.recording);
        let is_next = self.sent >= recording.kept.len();
        self.ended || (is_next && recording.trailers.is_none() && recording.rest.is_end_stream())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let recording = lock(&self.recording);
        let again = recording.kept.len().saturating_sub(self.sent) as u64;
        let rest = recording.rest.size_hint();
        rest.exact().map_or_else(SizeHint::new, |rest| SizeHint::with_exact(rest + again))
    }
}

fn lock(recording: &Mutex<Recording>) -> MutexGuard<'_, Recording> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}
