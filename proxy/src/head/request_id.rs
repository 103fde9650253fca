use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::header::HeaderValue;

use super::trace_context;

/// The longest id of a client that is passed on.
const LONGEST: usize = 200;

/// Makes ids for requests, and for traces, that came without one: 128 bits as hexadecimal digits, a keyed hash (SipHash
/// with the process's random keys) of a counter, so that they don't repeat and can't be guessed from one another.
#[derive(Debug)]
pub(crate) struct RequestIds {
    counter: AtomicU64,
    keys: [RandomState; 2],
    /// Whether a request without a trace begins one.
    starts_traces: bool,
}

impl RequestIds {
    pub(crate) fn new(starts_traces: bool) -> Self {
        Self { counter: AtomicU64::default(), keys: Default::default(), starts_traces }
    }

    /// The id of a request.
    pub(crate) fn next(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.next_digits()).ok()
    }

    /// The same as text.
    pub(crate) fn next_digits(&self) -> [u8; 32] {
        let [high, low] = self.draw();
        let mut rest = u128::from(high) << 64 | u128::from(low);
        let mut digits = [0; 32];
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789abcdef".get((rest & 15) as usize).copied().unwrap_or_default();
            rest >>= 4;
        }
        digits
    }

    /// A trace that begins with a request, where such are begun.
    pub(crate) fn trace_parent(&self) -> Option<HeaderValue> {
        let ([high, low], [span, _]) = self.starts_traces.then(|| (self.draw(), self.draw()))?;
        trace_context::start(u128::from(high) << 64 | u128::from(low), span)
    }

    fn draw(&self) -> [u64; 2] {
        let count = self.counter.fetch_add(1, Relaxed);
        self.keys.each_ref().map(|key| key.hash_one(count))
    }

    /// Whether a client's own id may be passed on and logged: short and printable.
    pub(crate) fn is_fit(id: &[u8]) -> bool {
        (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_fit() {
        let ids = RequestIds::new(false);
        let (one, two) = (ids.next(), ids.next());
        assert_ne!(one, two);
        assert!(one.is_some_and(|id| id.len() == 32 && RequestIds::is_fit(id.as_bytes())));
        assert!(!RequestIds::is_fit(b"two words"));
        assert!(!RequestIds::is_fit(b""));
    }
}
