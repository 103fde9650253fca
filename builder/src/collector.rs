//! The duty of collecting garbage: what no service needs of the artifact store is removed from it.
//!
//! It is the builder's, as the builder fills the store: it is near to it, it knows what an image is made of, it reaches no hosts
//! that could hold it up, and between builds it has nothing to do. The shippers, which have a store too, are what a deployment
//! waits for.
//!
//! **Why nothing is removed that somebody is about to need.** What is needed stands in the journal, of which all services are read
//! to their ends. What isn't there yet is on its way: a context that was packed and is named by the decision that follows, the
//! layers of a build whose result is not written down yet. All of that was stored, or found and renewed, less than a day before
//! the journal names it (packing and building have limits that are far shorter), and what is younger than a day is never removed.
//! A layer that is there already and therefore isn't sent is made young by the very question whether it is there
//! ([`Store::renew`]); so is what is stored again. That may happen between the look at an age and the removal: the store keeps
//! those two apart ([`Store::remove_older`]). And what an existing release is made of is named by it from before until after a
//! deployment takes it over, as decisions follow each other.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use cutover_bus::{Held, StandingWork};
use cutover_core::{Duty, JournalId, Needed};
use cutover_registry::contents;
use cutover_store::{Removed, Store};
use cutover_telemetry::{IntCounter, Metrics};
use tokio::time::sleep;

use crate::garbage::garbage;
use crate::model_contents::model_contents;
use crate::{Error, Result};

/// What is younger is never removed.
const YOUNG: Duration = Duration::from_hours(24);
/// From one collection to the next.
const EVERY: Duration = Duration::from_hours(1);
/// How long the first one waits: programs that start again and again don't list the store each time.
const FIRST: Duration = Duration::from_mins(10);

/// Collects the garbage of the artifact store, for all services together.
#[derive(Debug)]
pub struct Collector {
    store: Store,
    freed: IntCounter,
}

impl Collector {
    /// Collects that of `store`, and counts it.
    ///
    /// # Errors
    /// Metrics that count it already.
    pub fn new(store: Store, metrics: &Metrics) -> std::result::Result<Self, cutover_telemetry::Error> {
        let help = "Bytes that were removed from the artifact store, as nothing needed them.";
        Ok(Self { store, freed: metrics.counter("cutover_store_freed_bytes_total", help)? })
    }

    /// Removes what is not needed and was neither stored nor renewed since `before`.
    ///
    /// # Errors
    /// A store that can't be listed, or an image or a model whose parts can't be known: then nothing is removed.
    pub async fn collect(&self, needed: Needed, before: SystemTime) -> Result<Removed> {
        let mut all: BTreeSet<_> = needed.files;
        for image in &needed.images {
            all.extend(contents(&self.store, image).await?);
        }
        for version in &needed.models {
            all.extend(model_contents(&self.store, version).await?);
        }
        let garbage = garbage(self.store.list().await?, &all, before);
        let removed = self.store.remove_older(&garbage, before).await?;
        self.freed.inc_by(removed.bytes);
        self.store.remove_abandoned(before).await?;
        Ok(removed)
    }

    /// Collects once, where it is this holder's turn.
    async fn look(&self, held: &Held) -> Result<()> {
        let services = held.services().await?;
        // The store is everybody's, and leases are a service's: whoever holds that of the first one does it for all.
        if services.keys().next() != Some(held.key()) {
            return Ok(());
        }
        owned(&self.store, held.journal_id()).await?;
        let mut needed = Needed::default();
        services.values().for_each(|service| needed.add(service));
        let Some(before) = SystemTime::now().checked_sub(YOUNG) else { return Ok(()) };
        let removed = self.collect(needed, before).await?;
        if removed.count > 0 {
            let Removed { count, bytes } = removed;
            tracing::info!(count, bytes, "what nothing needs was removed from the artifact store");
        }
        Ok(())
    }
}

/// Makes sure that the store is this journal's. Another one's builders would take what this one puts there for garbage.
pub(crate) async fn owned(store: &Store, journal: &JournalId) -> Result<()> {
    let owner = store.owner(&journal.0).await?;
    if owner == journal.0 { Ok(()) } else { Err(Error::OtherOwner { owner, journal: journal.0.clone() }) }
}

impl StandingWork for Collector {
    const DUTY: Duty = Duty::Collect;

    async fn hold(&self, held: Held) {
        sleep(FIRST).await;
        loop {
            if let Err(error) = self.look(&held).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the garbage of the artifact store could not be collected");
            }
            sleep(EVERY).await;
        }
    }
}
