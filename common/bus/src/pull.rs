//! Taking messages from a durable consumer, one at a time.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::append::ANSWER_LIMIT;
use crate::listener::{Generation, Line};
use crate::logs::Logs;
use crate::stored::Stored;

/// How long one request for messages stays open. Less than a worker may be silent: the requests of one that is stopped are
/// over when its message comes again, or it would get that again. Without heartbeats: async-nats 0.51 takes one for the end
/// of what there is to wake up for, and a slot that has been idle would sleep on while work comes in.
const PULL: Duration = Duration::from_secs(5);
/// How long a failed request is left alone.
const AGAIN: Duration = Duration::from_millis(500);
/// How many messages that were handed out are looked at before more are asked for.
const AT_ONCE: usize = 1000;

/// One who takes messages from a consumer that others share.
pub(crate) struct Pull {
    logs: Arc<Logs>,
    stream: &'static str,
    name: String,
    /// The connection by which something was asked last.
    line: Option<Line>,
    /// The consumer, and which connection it was looked up by.
    consumer: Option<(PullConsumer, Generation)>,
    /// Whether the last request failed: that is said once.
    fails: bool,
}

impl Pull {
    pub(crate) const fn new(logs: Arc<Logs>, stream: &'static str, name: String) -> Self {
        Self { logs, stream, name, line: None, consumer: None, fails: false }
    }

    /// The next message; none once it is told to stop. A bus that is not there is waited for.
    ///
    /// # Errors
    /// One that ends the program, as [`Error::ends_the_program`] says: then a message is left to others.
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
                    Err(error) if error.ends_the_program() => return Err(error),
                    Err(error) => tracing::warn!(consumer = self.name, %error, "a message is left alone"),
                },
                Ok(None) => {}
                Err(error) => {
                    if !failed_before {
                        tracing::warn!(consumer = self.name, %error, "no messages can be fetched");
                    }
                    self.look_at_connections().await?;
                    tokio::select! { () = tokio::time::sleep(AGAIN) => {}, () = stop.cancelled() => {} }
                }
            }
        }
        Ok(None)
    }

    /// Lets go of a connection that has ended.
    async fn look_at_connections(&mut self) -> Result<(), Error> {
        let journal = self.logs.journal();
        self.consumer = None;
        if let Some(line) = self.line.take()
            && journal.bus().has_ended(&line).await
        {
            journal.count("ended-connection");
        }
        if journal.bus().is_deaf().await { Err(Error::Deaf) } else { Ok(()) }
    }

    /// Has what was handed out, and can't be read, handed out no more: once for all who take from the consumer by a connection. Each
    /// message is looked at once, and so many at a time: what is behind them may cost another connection.
    async fn discard_unreadable(&self, consumer: &PullConsumer, generation: Generation) -> Result<(), Error> {
        let mut looked = self.logs.looked_at(&self.name).await;
        if looked.generation == Some(generation) {
            return Ok(());
        }
        let (bus, info) = (self.logs.journal().bus(), consumer.cached_info());
        let last = info.delivered.stream_sequence;
        let filter = &info.config.filter_subject;
        looked.from = looked.from.max(info.ack_floor.stream_sequence + 1);
        for _ in 0..AT_ONCE {
            if info.num_ack_pending == 0 || looked.from > last {
                break;
            }
            let next = Stored::next_in(bus, self.stream, looked.from, filter).await?;
            let Some(next) = next.filter(|next| next.sequence <= last) else { break };
            if !next.is_clear() {
                self.discard(next.sequence).await?;
            }
            looked.from = next.sequence + 1;
        }
        looked.generation = Some(generation);
        Ok(())
    }

    /// Has one message handed out no more.
    async fn discard(&self, sequence: u64) -> Result<(), Error> {
        tracing::error!(consumer = self.name, sequence, "a message can't be read, and is discarded");
        self.logs.journal().count("unreadable-work");
        // Of all that an acknowledgement names, the server goes by the sequence in the stream.
        let subject = format!("$JS.ACK.{}.{}.1.{sequence}.{sequence}.0.0", self.stream, self.name);
        let request = async_nats::Request::new().payload("+TERM".into()).timeout(Some(ANSWER_LIMIT));
        let answer = self.logs.journal().bus().client.send_request(subject, request).await;
        answer.map_err(|error| Error::of_request("discarding a message", ANSWER_LIMIT, &error))?;
        Ok(())
    }

    /// The next message, if there is one before the request ends.
    async fn fetch(&mut self) -> Result<Option<Message>, Error> {
        let failed = |message: String| Error::Request { doing: "fetching messages", message };
        let bus = self.logs.journal().bus();
        let line = self.line.insert(bus.line().await?).clone();
        let generation = line.generation();
        let consumer = match &mut self.consumer {
            Some((consumer, looked_up_by)) if *looked_up_by == generation => consumer,
            // A message may have broken the connection, and would do it again.
            _ => {
                let made = line
                    .jetstream
                    .get_consumer_from_stream::<pull::Config, _, _>(&self.name, self.stream)
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                self.discard_unreadable(&made, generation).await?;
                &mut self.consumer.insert((made, generation)).0
            }
        };
        let mut batch = consumer
            .batch()
            .max_messages(1)
            .expires(PULL)
            .messages()
            .await
            .map_err(|error| failed(error.to_string()))?;
        tokio::select! {
            message = batch.next() => {
                let message = message.transpose().map_err(|error| failed(error.to_string()))?;
                // It is answered by the connection that nothing ends.
                Ok(message.map(|taken| Message { context: bus.jetstream.clone(), ..taken }))
            }
            // A server that was started again knows nothing of the request.
            () = line.is_lost() => Ok(None),
        }
    }
}
