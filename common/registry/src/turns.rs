//! In which order the layers of an image are sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a layer waits for those below it before it sends a piece nevertheless: what was silent for too long would be
/// taken for broken by both sides.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lower layers come first. A Docker Engine asks for several at once, and unpacks them one after another: so it begins to
/// unpack while it still downloads, and what it has whole when it is interrupted is as much as it can be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How many bodies of each layer are being sent.
    sending: Mutex<BTreeMap<usize, usize>>,
    changed: Notify,
}

/// A body of a layer that is being sent; over once it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    layer: usize,
    shared: Arc<Shared>,
}

impl Turns {
    /// For a body of this layer, counted from the lowest.
    pub(crate) fn take(&self, layer: usize) -> Turn {
        *self.shared.sending().entry(layer).or_default() += 1;
        Turn { layer, shared: Arc::clone(&self.shared) }
    }
}

impl Turn {
    /// Returns once a piece of the body may be sent.
    pub(crate) async fn come(&self) {
        let first = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.shared.sending().keys().next().is_none_or(|&lowest| lowest >= self.layer) {
                    return;
                }
                changed.await;
            }
        };
        let _ = timeout(PATIENCE, first).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut sending = self.shared.sending();
        if let Some(bodies) = sending.get_mut(&self.layer) {
            *bodies -= 1;
            if *bodies == 0 {
                sending.remove(&self.layer);
                self.shared.changed.notify_waiters();
            }
        }
    }
}

impl Shared {
    fn sending(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_lowest_layer_goes_first_and_nobody_is_silent_for_long() {
        let turns = Turns::default();
        let (second, first, again) = (turns.take(1), turns.take(0), turns.take(0));
        assert!(first.come().now_or_never().is_some() && again.come().now_or_never().is_some());
        assert!(second.come().now_or_never().is_none());
        drop(first);
        assert!(second.come().now_or_never().is_none(), "the layer is sent twice, and one of them still is");
        let began = tokio::time::Instant::now();
        second.come().await;
        assert_eq!(began.elapsed(), PATIENCE);

        let mut waiting = std::pin::pin!(second.come());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(again);
        assert!(waiting.now_or_never().is_some());
    }
}
