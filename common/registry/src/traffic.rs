//! How many bytes have travelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much has travelled over all connections of a registry, in bytes. Read it as often as you like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent to the peers, HTTP headers included.
    pub sent: u64,
    /// Received from the peers, HTTP headers included.
    pub received: u64,
    /// Content that the peers have asked for: what `sent` is on its way to. It grows as long as peers ask for more.
    pub promised: u64,
}

/// The counters behind a [`Traffic`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    promised: AtomicU64,
    working: AtomicU64,
}

/// The store is doing something long of its own; over once it is dropped.
#[derive(Debug)]
pub(crate) struct Working(Arc<Counters>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meter {
    /// Says that the store works: nothing moves on a connection meanwhile, and nevertheless it isn't stuck.
    pub(crate) fn work(&self) -> Working {
        self.counters.working.fetch_add(1, Ordering::Relaxed);
        Working(Arc::clone(&self.counters))
    }

    pub(crate) fn is_working(&self) -> bool {
        self.counters.working.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn add_sent(&self, bytes: usize) {
        self.counters.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_received(&self, bytes: usize) {
        self.counters.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_promised(&self, bytes: u64) {
        self.counters.promised.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            sent: self.counters.sent.load(Ordering::Relaxed),
            received: self.counters.received.load(Ordering::Relaxed),
            promised: self.counters.promised.load(Ordering::Relaxed),
        }
    }
}
