//! Taking messages from a durable consumer, one at a time.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::logs::Logs;

/// How long one request for messages stays open. Less than a worker may be silent: the requests of one that is stopped are
/// over when its message comes again, or it would get that again. Without heartbeats: async-nats 0.51 takes one for the end
/// of what there is to wake up for, and a slot that has been idle would sleep on while work comes in.
const PULL: Duration = Duration::from_secs(5);
/// How long a failed request is left alone.
const AGAIN: Duration = Duration::from_millis(500);

/// One who takes messages from a consumer that others share.
pub(crate) struct Pull {
    logs: Arc<Logs>,
    stream: &'static str,
    name: String,
    consumer: Option<PullConsumer>,
    /// Whether the last request failed: that is said once.
    fails: bool,
}

impl Pull {
    pub(crate) const fn new(logs: Arc<Logs>, stream: &'static str, name: String) -> Self {
        Self { logs, stream, name, consumer: None, fails: false }
    }

    /// The next message; none once it is told to stop. A bus that is not there is waited for.
    ///
    /// # Errors
    /// [`Error::OtherJournal`]: then a message is left to others.
    pub(crate) async fn next(&mut self, stop: &CancellationToken) -> Result<Option<Message>, Error> {
        while !stop.is_cancelled() {
            let fetched = tokio::select! {
                fetched = self.fetch() => fetched,
                () = stop.cancelled() => break,
            };
            let failed_before = std::mem::replace(&mut self.fails, fetched.is_err());
            match fetched {
                Ok(Some(message)) => match self.logs.check_journal().await {
                    Ok(()) => return Ok(Some(message)),
                    Err(error @ Error::OtherJournal { .. }) => return Err(error),
                    Err(error) => tracing::warn!(consumer = self.name, %error, "a message is left alone"),
                },
                Ok(None) => {}
                Err(error) => {
                    if !failed_before {
                        tracing::warn!(consumer = self.name, %error, "no messages can be fetched");
                    }
                    self.consumer = None;
                    tokio::select! { () = tokio::time::sleep(AGAIN) => {}, () = stop.cancelled() => {} }
                }
            }
        }
        Ok(None)
    }

    /// The next message, if there is one before the request ends.
    async fn fetch(&mut self) -> Result<Option<Message>, Error> {
        let failed = |message: String| Error::Request { doing: "fetching messages", message };
        let bus = self.logs.journal().bus();
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            None => {
                let made = bus
                    .jetstream
                    .get_consumer_from_stream::<pull::Config, _, _>(&self.name, self.stream)
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                self.consumer.insert(made)
            }
        };
        let mut batch = consumer
            .batch()
            .max_messages(1)
            .expires(PULL)
            .messages()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let connects = bus.connects();
        loop {
            tokio::select! {
                message = batch.next() => return message.transpose().map_err(|error| failed(error.to_string())),
                // A server that was started again knows nothing of the request.
                () = tokio::time::sleep(AGAIN) => if bus.connects() != connects { return Ok(None) },
            }
        }
    }
}
