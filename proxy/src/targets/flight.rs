use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap};
use tokio_util::sync::CancellationToken;

/// A response whose body still comes so long after it first had to be waited for is a stream.
pub(crate) const STREAM_AFTER: Duration = Duration::from_secs(3);

/// What something in flight is. Each kind has a time of its own to end once its target is displaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It ends soon.
    Request,
    /// A response that goes on and on.
    Stream,
    /// A connection that has left HTTP.
    Upgraded,
}

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) streams: u64,
    pub(crate) upgraded: u64,
}

/// What a target has in flight.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    all: AtomicU64,
    /// Of all, these; the rest are requests, which cost nothing more to count.
    streams: AtomicU64,
    upgraded: AtomicU64,
}

/// When what is in flight must end.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    requests: CancellationToken,
    /// Streams and upgraded connections.
    others: CancellationToken,
}

impl InFlight {
    pub(crate) fn all(&self) -> u64 {
        self.all.load(SeqCst)
    }

    pub(crate) fn count(&self) -> Count {
        let (streams, upgraded) = (self.streams.load(SeqCst), self.upgraded.load(SeqCst));
        Count { requests: self.all().saturating_sub(streams + upgraded), streams, upgraded }
    }

    /// A request begins.
    pub(crate) fn enter(&self) {
        self.all.fetch_add(1, SeqCst);
    }

    /// A request has turned out to be more than that.
    pub(crate) fn becomes(&self, kind: Kind) {
        if let Some(counter) = self.of(kind) {
            counter.fetch_add(1, SeqCst);
        }
    }

    /// Something has ended.
    pub(crate) fn leave(&self, kind: Kind) {
        if let Some(counter) = self.of(kind) {
            counter.fetch_sub(1, SeqCst);
        }
        self.all.fetch_sub(1, SeqCst);
    }

    fn of(&self, kind: Kind) -> Option<&AtomicU64> {
        match kind {
            Kind::Request => None,
            Kind::Stream => Some(&self.streams),
            Kind::Upgraded => Some(&self.upgraded),
        }
    }
}

impl Cut {
    /// Cancelled when those of a kind must end now.
    pub(crate) const fn of(&self, kind: Kind) -> &CancellationToken {
        match kind {
            Kind::Request => &self.requests,
            Kind::Stream | Kind::Upgraded => &self.others,
        }
    }

    /// Whether anything had to end.
    pub(crate) fn has_begun(&self) -> bool {
        self.requests.is_cancelled() || self.others.is_cancelled()
    }
}

impl Count {
    pub(crate) const fn total(&self) -> u64 {
        self.requests + self.streams + self.upgraded
    }

    /// The most of each kind.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            requests: self.requests.max(other.requests),
            streams: self.streams.max(other.streams),
            upgraded: self.upgraded.max(other.upgraded),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, streams, upgraded } = self;
        write!(f, "{requests} requests, {streams} streams, {upgraded} upgraded connections")
    }
}

/// Whether a response is one of server-sent events, which never is a mere request.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| is_of_events(kind.as_bytes()))
}

/// Whether a content type is that of server-sent events.
pub(crate) fn is_of_events(kind: &[u8]) -> bool {
    kind.split(|&byte| byte == b';')
        .next()
        .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_becomes_a_stream_is_counted_once() {
        let in_flight = InFlight::default();
        (0..3).for_each(|_| in_flight.enter());
        in_flight.becomes(Kind::Stream);
        in_flight.becomes(Kind::Upgraded);
        assert_eq!(in_flight.count(), Count { requests: 1, streams: 1, upgraded: 1 });
        in_flight.leave(Kind::Stream);
        assert_eq!((in_flight.all(), in_flight.count().streams), (2, 0));
    }

    #[test]
    fn server_sent_events_are_known_by_their_type() {
        for (value, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ; charset=utf-8", true),
            ("text/event-stream-like", false),
            ("text/html", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_event_stream(&headers), expected, "{value}");
        }
        assert!(!is_event_stream(&HeaderMap::new()));
    }
}
