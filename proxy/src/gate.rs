use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::rejection::Rejection;

/// For so long after a gate was opened, those that come wait behind those that have waited.
const IN_ORDER: Duration = Duration::from_secs(1);

/// Where the requests of a paused service wait, those that came first in front.
#[derive(Debug)]
pub(crate) struct Gate {
    terms: ArcSwap<Terms>,
    waiting: AtomicUsize,
    refused: AtomicU64,
    /// When it was opened.
    opened: OnceLock<Instant>,
    /// One for all, once the gate is open: each passes it on when it has its target, and the semaphore gives it to the one that
    /// came first.
    turns: Arc<Semaphore>,
}

/// How requests wait at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long each one waits at most.
    pub(crate) limit: Duration,
    /// How many wait at most.
    pub(crate) most: usize,
    /// When the gate opens by itself.
    pub(crate) ends: Instant,
}

/// The right to go on. The next one gets it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _turn: OwnedSemaphorePermit,
}

/// A request that waits.
struct Place<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms: ArcSwap::from_pointee(terms),
            waiting: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            opened: OnceLock::new(),
            turns: Arc::new(Semaphore::new(0)),
        }
    }

    /// Those that come from now on wait by these; those that wait already, as they were told.
    pub(crate) fn set_terms(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    /// Lets everybody pass, one after the other.
    pub(crate) fn open(&self) {
        if self.opened.set(Instant::now()).is_ok() {
            self.turns.add_permits(1);
        }
    }

    /// Sends those away that wait, and all that come: the proxy is about to end.
    pub(crate) fn close(&self) {
        self.turns.close();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened.get().is_some()
    }

    /// Whether nobody needs to wait any more: it is open, and those that have waited are through, or have had their time; else
    /// a service that is asked faster than they go would never be without a queue.
    pub(crate) fn is_free(&self) -> bool {
        self.opened.get().is_some_and(|opened| self.waiting() == 0 || opened.elapsed() > IN_ORDER)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(SeqCst)
    }

    /// Waits for a turn.
    ///
    /// # Errors
    ///
    /// [`Rejection::Paused`] where too many wait, or this one has waited for too long.
    pub(crate) async fn pass(&self) -> Result<Turn, Rejection> {
        let terms = **self.terms.load();
        let before = self.waiting.fetch_add(1, SeqCst);
        let _place = Place(self);
        if (before < terms.most || self.is_open())
            && let Some(turn) = self.turn(&terms).await
        {
            return Ok(turn);
        }
        self.refused.fetch_add(1, SeqCst);
        let left = terms.ends.saturating_duration_since(Instant::now());
        Err(Rejection::Paused { retry_after: left.as_secs() + 1 })
    }

    /// None: it takes too long, or nobody gets one any more.
    async fn turn(&self, terms: &Terms) -> Option<Turn> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        tokio::pin!(turn);
        let turn = match timeout(terms.limit, turn.as_mut()).await {
            Ok(turn) => turn,
            // Its time is that of the pause, unless that was renewed: the gate opens now, or has opened.
            Err(_) if self.is_open() || self.terms.load().ends == terms.ends => turn.await,
            Err(_) => return None,
        };
        turn.ok().map(|turn| Turn { _turn: turn })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}
