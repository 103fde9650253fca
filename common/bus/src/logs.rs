//! What has been read of the services' logs, shared by all that a program does: each reads only what is new.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cutover_core::{ServiceKey, Timestamp};
use tokio::sync::OwnedMutexGuard;

use crate::listener::Generation;
use crate::{Error, Journal, ServiceLog};

/// The log of one service, once it was read.
type Cached = Arc<tokio::sync::Mutex<Option<ServiceLog>>>;

pub(crate) struct Logs {
    journal: Journal,
    /// How often the connection had been made when the journal behind it was looked at last.
    checked: AtomicU64,
    cached: Mutex<HashMap<ServiceKey, Cached>>,
    /// What was looked at of the messages that were handed out, by consumer.
    looked_at: Mutex<HashMap<String, Arc<tokio::sync::Mutex<LookedAt>>>>,
}

/// How far messages of a consumer were looked at that may be unreadable.
#[derive(Default)]
pub(crate) struct LookedAt {
    /// The first sequence that was not.
    pub(crate) from: u64,
    /// The connection by which it was done last.
    pub(crate) generation: Option<Generation>,
}

impl Logs {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, checked: AtomicU64::default(), cached: Mutex::default(), looked_at: Mutex::default() }
    }

    pub(crate) const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Makes sure, after a reconnection, that the server still has the journal that was opened: all that is known here, and
    /// the epochs of all that is done, are of that one.
    pub(crate) async fn check_journal(&self) -> Result<(), Error> {
        let connects = self.journal.bus().connects();
        if self.checked.load(Ordering::Acquire) != connects {
            let now = self.journal.bus().open().await?.id().clone();
            if now != *self.journal.id() {
                return Err(Error::OtherJournal { before: self.journal.id().clone(), now });
            }
            self.checked.store(connects, Ordering::Release);
        }
        Ok(())
    }

    /// What was looked at of a consumer's messages, for one at a time.
    pub(crate) async fn looked_at(&self, consumer: &str) -> OwnedMutexGuard<LookedAt> {
        let looked_at = {
            let mut all = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(consumer.to_owned()).or_default())
        };
        looked_at.lock_owned().await
    }

    /// What the journal says of a service now.
    pub(crate) async fn read(&self, key: &ServiceKey) -> Result<ServiceLog, Error> {
        let shared = self.cached(key);
        let mut cached = shared.lock().await;
        let log = match cached.take() {
            Some(mut log) => {
                self.journal.catch_up(&mut log).await?;
                log
            }
            None => self.journal.service(key).await?,
        };
        *cached = Some(log.clone());
        Ok(log)
    }

    /// Does what follows at a time from what the journal says of a service.
    pub(crate) async fn carry_out(&self, key: &ServiceKey, now: Timestamp) -> Result<(), Error> {
        let mut log = self.read(key).await?;
        self.journal.carry_out(&mut log, now).await?;
        // With it, that there is a snapshot: or it would be looked for each time.
        let shared = self.cached(key);
        let mut cached = shared.lock().await;
        if cached.as_ref().is_some_and(|cached| cached.service().sequence == log.service().sequence) {
            *cached = Some(log);
        }
        Ok(())
    }

    fn cached(&self, key: &ServiceKey) -> Cached {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cached.entry(key.clone()).or_default())
    }
}
