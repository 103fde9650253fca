use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::exchange::Rejection;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::task::yield_now;

    use super::*;

    fn gate() -> Arc<Gate> {
        let limit = Duration::from_secs(60);
        Arc::new(Gate::new(Terms { limit, most: 10, ends: Instant::now() + limit }))
    }

    /// One more that waits, behind all others.
    async fn waiting(gate: &Arc<Gate>) -> tokio::task::JoinHandle<Turn> {
        let (passing, before) = (Arc::clone(gate), gate.waiting());
        let waiting = tokio::spawn(async move { passing.pass().await.unwrap() });
        while gate.waiting() == before {
            yield_now().await;
        }
        waiting
    }

    /// Lets all go on that can.
    async fn settle() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_when_it_opens_goes_on_behind_those_that_have_waited() {
        let gate = gate();
        let mut queue = Vec::new();
        for _ in 0..3 {
            queue.push(waiting(&gate).await);
        }
        assert!(!gate.is_free());
        gate.open();
        settle().await;
        // The first has its turn, and nobody else before it is done with that.
        assert!(queue[0].is_finished() && !queue[1].is_finished() && !gate.is_free());
        queue.push(waiting(&gate).await);
        for at in 0..queue.len() {
            settle().await;
            let through = queue.iter().map(|waiting| waiting.is_finished()).collect::<Vec<_>>();
            let expected = (0..queue.len()).map(|other| other <= at).collect::<Vec<_>>();
            assert_eq!(through, expected);
            let turn = (&mut queue[at]).await.unwrap();
            drop(turn);
        }
        assert!(gate.is_free());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_waits_for_nobody_and_the_others_keep_their_order() {
        let gate = gate();
        let (first, mut second) = (waiting(&gate).await, waiting(&gate).await);
        gate.open();
        let turn = first.await.unwrap();
        tokio::time::advance(IN_ORDER).await;
        assert!(!gate.is_free());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(gate.is_free());
        settle().await;
        assert!(!second.is_finished());
        drop(turn);
        drop((&mut second).await.unwrap());
        assert_eq!((gate.waiting(), gate.refused()), (0, 0));
    }
}
