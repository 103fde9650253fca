//! Purging what nobody needs any more of a service's log.

use cutover_core::{ServiceKey, Subject};

use crate::stored::Stored;
use crate::{Error, Journal};

impl Journal {
    /// Purges the entries and the work of the oldest deployments of a service, up to the last `kept` that have ended or one
    /// that still owes something, and all snapshots but the last. How far, says the snapshot that is stored: what it doesn't
    /// cover stays.
    ///
    /// # Errors
    /// A bus that doesn't answer, or a snapshot that can't be read.
    pub(crate) async fn purge(&self, key: &ServiceKey, kept: usize) -> Result<(), Error> {
        const DOING: &str = "purging what is not needed";
        let failed = |message: String| Error::Request { doing: DOING, message };
        let state = Subject::State(key.clone()).to_string();
        let Some(stored) = Stored::last(self.bus(), &state).await? else { return Ok(()) };
        // Were it none, purging would leave it and nothing else.
        let Some(snapshot) = self.snapshot(&stored) else { return Ok(()) };
        let log = self.bus().log().await?;
        log.purge().filter(state).keep(1).await.map_err(|error| failed(error.to_string()))?;
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
