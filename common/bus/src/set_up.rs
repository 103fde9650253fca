//! Setting up: the streams and consumers that the journal stands on.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, CreateStreamErrorKind};
use async_nats::jetstream::stream::{
    Config, ConsumerCreateStrictErrorKind, DiscardPolicy, RetentionPolicy, StorageType,
};
use cutover_core::{JournalId, STREAM_SUBJECTS, Stage, Subject};
use tokio::time::Instant;

use crate::bus::{ACK_WAIT, JOURNAL_ID, LOG, OUTPUT, consumer_of};
use crate::{Bus, Error, Journal};

/// How long a server that can't serve yet is waited for: a cluster elects a leader first, and a stream that was just made
/// may answer that it is not there.
const LIMIT: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(100);

const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
const OUTPUT_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const OUTPUT_BYTES: i64 = 1 << 30;

/// On how many servers the streams, and with them the consumers, are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// On one: the server of this machine.
    One,
    /// On three of a cluster: it goes on without any one of them.
    Three,
}

impl Copies {
    const fn number(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

impl Bus {
    /// As many copies as suit the server: three where it is one of a cluster.
    pub fn suitable_copies(&self) -> Copies {
        if self.client.server_info().cluster.is_some() { Copies::Three } else { Copies::One }
    }

    /// Makes the streams and consumers that aren't there yet, and gives a new journal its id. Existing ones stay as they are,
    /// with as many copies as they have. A consumer that was lost is made again from the beginning of the oldest deployment
    /// that runs: its work comes again, and is looked up in the log.
    ///
    /// # Errors
    /// A server without JetStream, or one that refuses, or can't serve within 20 s.
    pub async fn set_up(&self, copies: Copies) -> Result<JournalId, Error> {
        let begun = Instant::now();
        loop {
            match self.try_set_up(copies).await {
                Err(error)
                    if (error.retryable() || matches!(error, Error::NotSetUp)) && begun.elapsed() < LIMIT =>
                {
                    tracing::debug!(%error, "the journal is not set up yet");
                    tokio::time::sleep(AGAIN).await;
                }
                done => return done,
            }
        }
    }

    async fn try_set_up(&self, copies: Copies) -> Result<JournalId, Error> {
        let journal = match self.open().await {
            Err(Error::NotSetUp) => {
                self.create_streams(copies).await?;
                self.open().await?
            }
            opened => opened?,
        };
        let mut lost = Vec::new();
        for stage in Stage::ALL {
            if !self.has_consumer(stage).await? {
                lost.push(stage);
            }
        }
        if !lost.is_empty() {
            let from = journal.lowest_open().await?;
            for stage in lost {
                self.create_consumer(stage, from).await?;
            }
        }
        Ok(journal.id().clone())
    }

    async fn create_streams(&self, copies: Copies) -> Result<(), Error> {
        const DOING: &str = "making a stream";
        let log = Config {
            name: LOG.to_owned(),
            subjects: STREAM_SUBJECTS.iter().map(ToString::to_string).collect(),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: copies.number(),
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            allow_atomic_publish: true,
            metadata: HashMap::from([(
                JOURNAL_ID.to_owned(),
                self.client.new_inbox().replace("_INBOX.", ""),
            )]),
            ..Config::default()
        };
        let output = Config {
            name: OUTPUT.to_owned(),
            subjects: vec!["cutover.output.>".to_owned()],
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: copies.number(),
            max_age: OUTPUT_AGE,
            max_bytes: OUTPUT_BYTES,
            allow_direct: true,
            ..Config::default()
        };
        // The journal's stream last: where it is, all is.
        for config in [output, log] {
            match self.jetstream.create_stream(config).await.map_err(|error| error.kind()) {
                Ok(_) => {}
                // Another set-up was first, with another id for the journal: then its stream is the one.
                Err(CreateStreamErrorKind::JetStream(error))
                    if error.error_code() == ErrorCode::STREAM_NAME_EXIST => {}
                Err(CreateStreamErrorKind::JetStream(error)) => {
                    return Err(Error::of_jetstream(DOING, &error));
                }
                Err(error) => return Err(Error::Request { doing: DOING, message: error.to_string() }),
            }
        }
        Ok(())
    }

    async fn has_consumer(&self, stage: Stage) -> Result<bool, Error> {
        const DOING: &str = "looking for a consumer";
        match self.log().await?.consumer_info(consumer_of(stage)).await.map_err(|error| error.kind()) {
            Ok(_) => Ok(true),
            Err(ConsumerInfoErrorKind::NotFound) => Ok(false),
            Err(ConsumerInfoErrorKind::JetStream(error)) => Err(Error::of_jetstream(DOING, &error)),
            Err(error) => Err(Error::Request { doing: DOING, message: error.to_string() }),
        }
    }

    async fn create_consumer(&self, stage: Stage, from: u64) -> Result<(), Error> {
        const DOING: &str = "making a consumer";
        let consumer = pull::Config {
            durable_name: Some(consumer_of(stage)),
            filter_subject: Subject::runs_of(stage),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let made = self.jetstream.create_consumer_strict_on_stream(consumer, LOG).await;
        match made.map_err(|error| error.kind()) {
            // Another set-up was first.
            Ok(_) | Err(ConsumerCreateStrictErrorKind::AlreadyExists) => Ok(()),
            Err(ConsumerCreateStrictErrorKind::JetStream(error)) => Err(Error::of_jetstream(DOING, &error)),
            Err(error) => Err(Error::Request { doing: DOING, message: error.to_string() }),
        }
    }
}

impl Journal {
    /// The sequence from which on work may be open: that of the oldest decision that began a round which runs, or else the
    /// next of the stream.
    async fn lowest_open(&self) -> Result<u64, Error> {
        const DOING: &str = "looking for open work";
        let failed = |message: String| Error::Request { doing: DOING, message };
        // Before the services are read: what is accepted in the meantime comes after it.
        let stream = self.bus().jetstream.get_stream(LOG).await.map_err(|error| failed(error.to_string()))?;
        let mut lowest = stream.cached_info().state.last_sequence + 1;
        for key in self.services().await? {
            let log = self.service(&key).await?;
            if let Some(running) = log.service().running() {
                lowest = lowest.min(running.round_began);
            }
        }
        Ok(lowest)
    }
}
