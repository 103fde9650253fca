//! Setting up: the streams and consumers that the journal stands on.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, ConsumerCreateStrictErrorKind};
use cutover_core::{BusUser, JournalId, Request, Stage, Subject};
use tokio::time::Instant;

use crate::bus::{ACK_WAIT, LEASE, LOG, REQUESTS, SIGNED_FROM, TIMER, TRIGGER, USERS, WAKE};
use crate::signature::{Last, Roster};
use crate::{Bus, Error, Journal, streams};

/// How long a server that can't serve yet is waited for: a cluster elects a leader first, and a stream that was just made
/// may answer that it is not there.
const LIMIT: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(100);

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
    /// that runs or owes something: its work comes again, and is looked up in the log.
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
                let (copies, id) = (copies.number(), self.unique());
                // The journal's stream last: where it is, all is.
                self.create_stream(streams::output(copies)).await?;
                self.create_stream(streams::timer(copies)).await?;
                self.create_stream(streams::lease(copies)).await?;
                self.create_stream(streams::trigger(copies)).await?;
                self.create_stream(streams::log(copies, id)).await?;
                self.open().await?
            }
            opened => opened?,
        };
        // A journal that was made by an earlier version has none.
        let later = [
            (TIMER, streams::timer as fn(usize) -> Config),
            (LEASE, streams::lease),
            (TRIGGER, streams::trigger),
        ];
        for (name, stream) in later {
            if self.copies_of(name).await?.is_none() {
                self.create_stream(stream(self.copies_of(LOG).await?.unwrap_or(1))).await?;
            }
        }
        if !self.has_consumer(TIMER, WAKE).await? {
            self.create_consumer(TIMER, WAKE, "cutover.timer.due.>".to_owned(), DeliverPolicy::All).await?;
        }
        if !self.has_consumer(TRIGGER, REQUESTS).await? {
            self.create_consumer(TRIGGER, REQUESTS, Request::subjects(), DeliverPolicy::All).await?;
        }
        self.make_consumers(&journal, Stage::ALL).await?;
        Ok(journal.id().clone())
    }

    /// From now on the journal takes entries that are signed with one of these public keys, and of each user what it may write.
    /// What stands there already is taken as it is. Nothing changes where just these are known already.
    ///
    /// # Errors
    /// A server that refuses, or doesn't answer. [`Error::OtherUsers`], where others are known: a file of before their last change
    /// must not bring them back, so whoever changes them says so, by [`Bus::put_in_force`].
    pub async fn take_signatures_of(&self, keys: &BTreeMap<BusUser, String>) -> Result<(), Error> {
        let keys = &signers(keys);
        let (_, known) = self.identity("looking whose signatures the journal takes").await?;
        match known.other_than(keys) {
            users if users.is_empty() => Ok(()),
            users if !known.is_empty() => Err(Error::OtherUsers { users }),
            _ => self.put_in_force(keys).await,
        }
    }

    /// The same, also where others are known: what those have signed so far counts, and nothing after it. Programs with the new keys
    /// begin to work, and those that run learn of it within a moment.
    ///
    /// # Errors
    /// A server that refuses, or doesn't answer. [`Error::SpentKey`], where one of them was in force before, and is no more.
    pub async fn put_in_force(&self, keys: &BTreeMap<BusUser, String>) -> Result<(), Error> {
        const DOING: &str = "writing down whose signatures the journal takes";
        let keys = &signers(keys);
        let failed = |message: String| Error::Request { doing: DOING, message };
        let info = async |name| {
            let stream = self.jetstream.get_stream(name).await.map_err(|error| failed(error.to_string()))?;
            Ok::<_, Error>(stream.cached_info().clone())
        };
        let lease = info(LEASE).await?.state.last_sequence;
        let info = info(LOG).await?;
        let mut config = info.config;
        let mut known = Roster::read(config.metadata.get(SIGNED_FROM), config.metadata.get(USERS));
        if known.other_than(keys).is_empty() {
            return Ok(());
        }
        if known.is_empty() {
            known = Roster::new(info.state.last_sequence + 1);
        }
        let last = Last { log: info.state.last_sequence, lease };
        let roster = known.with(keys, last).ok_or(Error::SpentKey)?;
        config.metadata.insert(USERS.to_owned(), roster.to_text());
        config.metadata.insert(SIGNED_FROM.to_owned(), roster.begin());
        self.jetstream.update_stream(config).await.map_err(|error| failed(error.to_string()))?;
        Ok(())
    }

    /// Makes the consumers of these stages that aren't there: a journal that was set up by an earlier version has none for what is
    /// new. They begin with the oldest deployment that runs or owes something.
    ///
    /// # Errors
    /// A server that refuses, or doesn't answer; [`Error::NotSetUp`], where they are for another user to make.
    pub async fn make_consumers(
        &self,
        journal: &Journal,
        stages: impl IntoIterator<Item = Stage>,
    ) -> Result<(), Error> {
        let mut lost = Vec::new();
        for stage in stages {
            if !self.has_consumer(LOG, &stage.consumer()).await? {
                lost.push(stage);
            }
        }
        if !lost.is_empty() && !self.administers() {
            return Err(Error::NotSetUp);
        }
        if !lost.is_empty() {
            let start_sequence = journal.lowest_open().await?;
            for stage in lost {
                let from = DeliverPolicy::ByStartSequence { start_sequence };
                self.create_consumer(LOG, &stage.consumer(), Subject::runs_of(stage), from).await?;
            }
        }
        Ok(())
    }

    /// On how many servers a stream is kept; none where it isn't there.
    async fn copies_of(&self, stream: &str) -> Result<Option<usize>, Error> {
        const DOING: &str = "looking for a stream";
        match self.jetstream.get_stream(stream).await.map_err(|error| error.kind()) {
            Ok(stream) => Ok(Some(stream.cached_info().config.num_replicas)),
            Err(GetStreamErrorKind::JetStream(error)) => match Error::of_jetstream(DOING, &error) {
                Error::NotSetUp => Ok(None),
                error => Err(error),
            },
            Err(error) => Err(Error::Request { doing: DOING, message: error.to_string() }),
        }
    }

    async fn create_stream(&self, config: Config) -> Result<(), Error> {
        const DOING: &str = "making a stream";
        match self.jetstream.create_stream(config).await.map_err(|error| error.kind()) {
            Ok(_) => Ok(()),
            // Another set-up was first, with another id for the journal: then its stream is the one.
            Err(CreateStreamErrorKind::JetStream(error))
                if error.error_code() == ErrorCode::STREAM_NAME_EXIST =>
            {
                Ok(())
            }
            Err(CreateStreamErrorKind::JetStream(error)) => Err(Error::of_jetstream(DOING, &error)),
            Err(error) => Err(Error::Request { doing: DOING, message: error.to_string() }),
        }
    }

    async fn has_consumer(&self, stream: &str, name: &str) -> Result<bool, Error> {
        const DOING: &str = "looking for a consumer";
        match self.stream(stream).await?.consumer_info(name).await.map_err(|error| error.kind()) {
            Ok(_) => Ok(true),
            Err(ConsumerInfoErrorKind::NotFound) => Ok(false),
            Err(ConsumerInfoErrorKind::JetStream(error)) => Err(Error::of_jetstream(DOING, &error)),
            Err(error) => Err(Error::Request { doing: DOING, message: error.to_string() }),
        }
    }

    /// A durable consumer that many share, one message for each at a time.
    async fn create_consumer(
        &self,
        stream: &str,
        name: &str,
        filter_subject: String,
        deliver_policy: DeliverPolicy,
    ) -> Result<(), Error> {
        const DOING: &str = "making a consumer";
        let consumer = pull::Config {
            durable_name: Some(name.to_owned()),
            filter_subject,
            deliver_policy,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let made = self.jetstream.create_consumer_strict_on_stream(consumer, stream).await;
        match made.map_err(|error| error.kind()) {
            // Another set-up was first.
            Ok(_) | Err(ConsumerCreateStrictErrorKind::AlreadyExists) => Ok(()),
            Err(ConsumerCreateStrictErrorKind::JetStream(error)) => Err(Error::of_jetstream(DOING, &error)),
            Err(error) => Err(Error::Request { doing: DOING, message: error.to_string() }),
        }
    }
}

/// Those of users who write into the journal: of others it needs to know nothing.
fn signers(keys: &BTreeMap<BusUser, String>) -> BTreeMap<BusUser, String> {
    keys.iter().filter(|(user, _)| user.signs()).map(|(user, key)| (*user, key.clone())).collect()
}

impl Journal {
    /// The sequence from which on work may be open: that of the oldest decision that began a round which runs, or a deployment
    /// that still owes something; or else the next of the stream.
    async fn lowest_open(&self) -> Result<u64, Error> {
        const DOING: &str = "looking for open work";
        let failed = |message: String| Error::Request { doing: DOING, message };
        // Before the services are read: what is accepted in the meantime comes after it.
        let stream = self.bus().jetstream.get_stream(LOG).await.map_err(|error| failed(error.to_string()))?;
        let mut lowest = stream.cached_info().state.last_sequence + 1;
        for key in self.services().await? {
            let log = self.service(&key).await?;
            let service = log.service();
            let owing = service
                .obligations
                .iter()
                .filter_map(|owed| Some(service.deployment(&owed.deployment)?.sequence));
            let began = service.running().map(|running| running.round_began);
            lowest = owing.chain(began).fold(lowest, u64::min);
        }
        Ok(lowest)
    }
}
