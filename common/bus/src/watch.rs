//! Following a service as its log grows.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, push};
use cutover_core::{Service, ServiceKey, Subject};
use futures_util::StreamExt;

use crate::bus::LOG;
use crate::stored::Stored;
use crate::{Error, Journal, ServiceLog};

/// How long a broken subscription is left alone before it is made again.
const AGAIN: Duration = Duration::from_millis(500);

/// A service as its log grows.
pub struct Watch {
    journal: Journal,
    log: ServiceLog,
    entries: Option<push::Ordered>,
}

impl Journal {
    /// Follows a service from what the journal says of it now.
    ///
    /// # Errors
    /// A bus that doesn't answer.
    pub async fn watch(&self, key: &ServiceKey) -> Result<Watch, Error> {
        Ok(self.follow(self.service(key).await?))
    }

    /// Follows a service from what has been read of it.
    pub fn follow(&self, log: ServiceLog) -> Watch {
        Watch { journal: self.clone(), log, entries: None }
    }
}

impl Watch {
    /// The service as it was when it was last read.
    pub const fn service(&self) -> &Service {
        self.log.service()
    }

    /// Waits until an entry has changed the service. Goes on by itself when the connection is lost and comes back.
    /// Cancel-safe: what was read stays read.
    ///
    /// # Errors
    /// A journal that is gone.
    pub async fn changed(&mut self) -> Result<(), Error> {
        loop {
            let entries = match &mut self.entries {
                Some(entries) => entries,
                None => match self.subscribe().await {
                    Ok(entries) => self.entries.insert(entries),
                    Err(error) if error.retryable() => {
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let Some(Ok(entry)) = entries.next().await else {
                self.entries = None;
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let Ok(info) = entry.info() else { continue };
            let stored = Stored::delivered(&entry, &info);
            // Were this dropped at the next line, the entry would have to be read again.
            let entries = self.entries.take();
            let has_skipped = match Box::pin(self.look_at(&stored)).await {
                Ok(Some(has_skipped)) => has_skipped,
                Ok(None) => {
                    self.log.leave_out(stored.sequence);
                    self.entries = entries;
                    continue;
                }
                Err(error) if error.retryable() => {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.entries = entries;
            if self.log.take_in(&stored).is_some_and(|taken| taken.has_changed()) || has_skipped {
                return Ok(());
            }
        }
    }

    /// Whether something was purged before an entry, which was gone over; none, where the entry doesn't count.
    async fn look_at(&mut self, stored: &Stored) -> Result<Option<bool>, Error> {
        if !self.journal.admits(stored).await? {
            return Ok(None);
        }
        self.journal.go_over_gap(&mut self.log, stored).await.map(Some)
    }

    async fn subscribe(&self) -> Result<push::Ordered, Error> {
        let bus = self.journal.bus();
        let config = push::OrderedConfig {
            name: Some(format!("watch-{}", bus.unique())),
            deliver_subject: bus.client.new_inbox(),
            filter_subject: Subject::log_of(self.log.key()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.log.next() },
            ..push::OrderedConfig::default()
        };
        let failed = |message: String| Error::Request { doing: "following the journal", message };
        let consumer = self.journal.bus().jetstream.create_consumer_on_stream(config, LOG).await;
        consumer
            .map_err(|error| failed(error.to_string()))?
            .messages()
            .await
            .map_err(|error| failed(error.to_string()))
    }
}
