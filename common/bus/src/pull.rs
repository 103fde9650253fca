//! Taking messages from a durable consumer, one at a time.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::append::ANSWER_LIMIT;
use crate::logs::Logs;
use crate::stored::Stored;

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
    /// How often the connection had been made when that was looked up.
    connects: u64,
    /// Whether the last request failed: that is said once.
    fails: bool,
}

impl Pull {
    pub(crate) const fn new(logs: Arc<Logs>, stream: &'static str, name: String) -> Self {
        Self { logs, stream, name, consumer: None, connects: 0, fails: false }
    }

    /// The next message; none once it is told to stop. A bus that is not there is waited for.
    ///
    /// # Errors
    /// [`Error::OtherJournal`]: then a message is left to others. [`Error::Deaf`]: nothing will ever come.
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
                    if self.logs.journal().bus().is_deaf().await {
                        return Err(Error::Deaf);
                    }
                    tokio::select! { () = tokio::time::sleep(AGAIN) => {}, () = stop.cancelled() => {} }
                }
            }
        }
        Ok(None)
    }

    /// Has what was handed out, and can't be read, handed out no more.
    async fn discard_unreadable(&self, consumer: &PullConsumer) -> Result<(), Error> {
        let (bus, info) = (self.logs.journal().bus(), consumer.cached_info());
        let (last, mut from) = (info.delivered.stream_sequence, info.ack_floor.stream_sequence + 1);
        let filter = &info.config.filter_subject;
        while info.num_ack_pending > 0
            && from <= last
            && let Some(sequence) = Stored::next_unclear(bus, self.stream, from, filter).await?
            && sequence <= last
        {
            tracing::error!(consumer = self.name, sequence, "a message can't be read, and is discarded");
            self.logs.journal().count("unreadable-work");
            // Of all that an acknowledgement names, the server goes by the sequence in the stream.
            let subject = format!("$JS.ACK.{}.{}.1.{sequence}.{sequence}.0.0", self.stream, self.name);
            let request = async_nats::Request::new().payload("+TERM".into()).timeout(Some(ANSWER_LIMIT));
            let answer = bus.client.send_request(subject, request).await;
            answer.map_err(|error| Error::of_request("discarding a message", ANSWER_LIMIT, &error))?;
            from = sequence + 1;
        }
        Ok(())
    }

    /// The next message, if there is one before the request ends.
    async fn fetch(&mut self) -> Result<Option<Message>, Error> {
        let failed = |message: String| Error::Request { doing: "fetching messages", message };
        let bus = self.logs.journal().bus();
        let connects = bus.connects();
        let consumer = match &mut self.consumer {
            Some(consumer) if self.connects == connects => consumer,
            // A message may have broken the connection, and would do it again.
            _ => {
                let made = bus
                    .jetstream
                    .get_consumer_from_stream::<pull::Config, _, _>(&self.name, self.stream)
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                self.discard_unreadable(&made).await?;
                self.connects = connects;
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
        loop {
            tokio::select! {
                message = batch.next() => return message.transpose().map_err(|error| failed(error.to_string())),
                // A server that was started again knows nothing of the request.
                () = tokio::time::sleep(AGAIN) => if bus.connects() != connects { return Ok(None) },
            }
        }
    }
}
