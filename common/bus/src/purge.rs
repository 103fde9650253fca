//! Purging what nobody needs any more of a service's log.

use cutover_core::{ServiceKey, Subject};

use crate::{Error, Journal};

impl Journal {
    /// Purges the entries and the work of the oldest deployments of a service, up to the last `kept` that have ended or one
    /// that still owes something, and all snapshots before the last. How far, says the snapshot that is stored: what it doesn't
    /// cover stays.
    ///
    /// # Errors
    /// A bus that doesn't answer, or a snapshot that can't be read.
    pub(crate) async fn purge(&self, key: &ServiceKey, kept: usize) -> Result<(), Error> {
        const DOING: &str = "purging what is not needed";
        let failed = |message: String| Error::Request { doing: DOING, message };
        let state = Subject::State(key.clone()).to_string();
        let Some((sequence, snapshot)) = self.last_snapshot(key).await? else { return Ok(()) };
        let log = self.bus().log().await?;
        // What stands after it is none: were the last message kept, it could be that one.
        log.purge().filter(state).sequence(sequence).await.map_err(|error| failed(error.to_string()))?;
        let Some(below) = snapshot.needless_below(kept) else { return Ok(()) };
        for filter in [Subject::log_of(key), Subject::runs_for(key)] {
            let purged = log.purge().filter(filter).sequence(below);
            let purged = purged.await.map_err(|error| failed(error.to_string()))?.purged;
            if purged > 0 {
                tracing::info!(service = %key, below, purged, "what nobody needs was purged");
            }
        }
        Ok(())
    }
}
