//! The connection, and the streams and consumers that the journal stands on.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, context::GetStreamErrorKind};
use cutover_core::{JournalId, STREAM_SUBJECTS, Stage, Subject};

use crate::{Error, Journal};

/// The stream of the journal: decisions, facts, snapshots and work.
pub(crate) const LOG: &str = "cutover";
/// The stream of build and container output: in no one's way, and gone after a week.
pub(crate) const OUTPUT: &str = "cutover-output";
/// The key of the journal's id in the stream's metadata.
const JOURNAL_ID: &str = "cutover.journal";

/// How long a worker may be silent before its task is handed to another.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(8);

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
const OUTPUT_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const OUTPUT_BYTES: i64 = 1 << 30;

/// A connection to NATS. It reconnects by itself; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
}

impl Bus {
    /// Connects. `url` is `nats://user:password@host:port`; `name` is what the server calls the connection.
    ///
    /// # Errors
    /// An address that can't be read, or a server that isn't reached within 5 s.
    pub async fn connect(url: &str, name: &str) -> Result<Self, Error> {
        let address: async_nats::ServerAddr =
            url.parse().map_err(|_| Error::Address(without_credentials(url)))?;
        let mut options = async_nats::ConnectOptions::new()
            .name(name)
            .connection_timeout(CONNECT_LIMIT)
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(100 * u64::try_from(attempts.min(20)).unwrap_or(20))
            });
        if let (Some(user), Some(password)) = (address.username(), address.password()) {
            options = options.user_and_password(user.to_owned(), password.to_owned());
        }
        let client = options
            .connect(address)
            .await
            .map_err(|source| Error::Unreachable { url: without_credentials(url), source })?;
        let jetstream = jetstream::new(client.clone());
        Ok(Self { client, jetstream })
    }

    /// Makes the streams and consumers that aren't there yet, and gives a new journal its id. Existing ones stay as they are.
    ///
    /// # Errors
    /// A server without JetStream, or one that refuses.
    pub async fn set_up(&self) -> Result<JournalId, Error> {
        let journal = match self.open().await {
            Ok(journal) => journal.id().clone(),
            Err(Error::NotSetUp) => {
                self.create_streams().await?;
                self.open().await?.id().clone()
            }
            Err(error) => return Err(error),
        };
        for stage in Stage::ALL {
            let consumer = pull::Config {
                durable_name: Some(consumer_of(stage)),
                filter_subject: Subject::runs_of(stage),
                ack_policy: AckPolicy::Explicit,
                ack_wait: ACK_WAIT,
                max_deliver: -1,
                ..pull::Config::default()
            };
            self.jetstream
                .create_consumer_on_stream(consumer, LOG)
                .await
                .map_err(|error| Error::Request { doing: "making a consumer", message: error.to_string() })?;
        }
        Ok(journal)
    }

    async fn create_streams(&self) -> Result<(), Error> {
        let log = Config {
            name: LOG.to_owned(),
            subjects: STREAM_SUBJECTS.iter().map(ToString::to_string).collect(),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
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
            max_age: OUTPUT_AGE,
            max_bytes: OUTPUT_BYTES,
            allow_direct: true,
            ..Config::default()
        };
        for config in [log, output] {
            // Another set-up may have been first, with another id for the journal: then its stream is the one.
            let refused = match self.jetstream.create_stream(config).await {
                Ok(_) => continue,
                Err(error) => error,
            };
            if !refused.to_string().contains("already in use") {
                return Err(Error::Request { doing: "making a stream", message: refused.to_string() });
            }
        }
        Ok(())
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// A journal that nobody has set up.
    pub async fn open(&self) -> Result<Journal, Error> {
        let stream = self.jetstream.get_stream(LOG).await.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(_) => Error::NotSetUp,
            _ => Error::Request { doing: "opening the journal", message: error.to_string() },
        })?;
        let id = stream.cached_info().config.metadata.get(JOURNAL_ID).ok_or(Error::ForeignStream(LOG))?;
        Ok(Journal::new(self.clone(), JournalId(id.clone())))
    }
}

/// The durable consumer that the workers of a stage share.
pub(crate) fn consumer_of(stage: Stage) -> String {
    format!("run-{stage}")
}

/// An address that may be shown: without user and password.
fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(without_credentials("nats://app:hunter2@10.0.0.1:4222"), "nats://10.0.0.1:4222");
        assert_eq!(without_credentials("app:hunter2@host"), "host");
        assert_eq!(without_credentials("nats://host:4222"), "nats://host:4222");
    }
}
