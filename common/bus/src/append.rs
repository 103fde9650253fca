//! Appending to the journal: one message, or several that are stored together or not at all.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    NATS_MESSAGE_ID, NATS_SCHEDULE, NATS_SCHEDULE_TARGET,
};
use bytes::Bytes;
use cutover_core::{Subject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::refusals::RefusalsOf;
use crate::signature::{SIGNATURE, sign};
use crate::stored::Stored;
use crate::{Bus, Error, Journal, Key};

/// How long an answer of the server is waited for.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Messages of one batch: the server takes 1,000, and few batches at once.
pub(crate) const BATCH_LIMIT: usize = 100;

/// How often a message is tried that another comes before.
const CONFLICTS: usize = 10;
const BEHIND: Duration = Duration::from_millis(20);

/// JetStream's error codes that mean something here (nats-server, errors.json).
mod code {
    use async_nats::jetstream::ErrorCode;

    pub(super) const WRONG_LAST_SEQUENCE: ErrorCode = ErrorCode(10071);
    pub(super) const WRONG_LAST_SEQUENCE_CONSTANT: ErrorCode = ErrorCode(10164);
    pub(super) const BATCH_HAS_DUPLICATE: ErrorCode = ErrorCode(10201);
    pub(super) const DUPLICATE_IN_FLIGHT: ErrorCode = ErrorCode(10158);
    pub(super) const BATCH_INCOMPLETE: ErrorCode = ErrorCode(10176);
    pub(super) const TOO_MANY_BATCHES: ErrorCode = ErrorCode(10210);
}

/// A message to append.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    subject: String,
    headers: HeaderMap,
    content: Bytes,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// Stored; the sequence of the first message.
    At(u64),
    /// A message of that id is there already: nothing was stored, for a batch nothing of it.
    Duplicate {
        /// Its sequence, where it is known.
        at: Option<u64>,
    },
    /// Something else was appended to the subject in the meantime: nothing was stored.
    Conflict,
    /// The server has more batches begun than it allows, or has lost a part of this one: nothing was stored.
    NoBatch,
}

/// The server's answer to a publish (NATS ADR-1, ADR-50).
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<async_nats::jetstream::Error>,
}

impl Message {
    /// A message whose id makes a second one of the same id a duplicate.
    pub(crate) fn new<T: Serialize>(subject: String, id: &str, content: &T) -> Result<Self, Error> {
        let mut message = Self::repeatable(subject, content)?;
        message.headers.insert(NATS_MESSAGE_ID, id);
        Ok(message)
    }

    /// A message that takes the place of the one before it on its subject, be it the same.
    pub(crate) fn repeatable<T: Serialize>(subject: String, content: &T) -> Result<Self, Error> {
        let content =
            serde_json::to_vec(content).map_err(|source| Error::Content { doing: "written", source })?.into();
        Ok(Self { subject, headers: HeaderMap::new(), content })
    }

    /// Kept by the server until a time, and put onto `target` then; at once, when that is past.
    pub(crate) fn scheduled(mut self, time: Timestamp, target: &str) -> Self {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(time.0);
        let schedule = format!("@at {}", humantime::format_rfc3339_millis(time));
        self.headers.insert(NATS_SCHEDULE, schedule);
        self.headers.insert(NATS_SCHEDULE_TARGET, target);
        self
    }

    /// Signs it, where the connection has a key.
    fn sign(&mut self, journal: &Journal, doing: &'static str) -> Result<(), Error> {
        let expected = self.headers.get(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE).map(ToString::to_string);
        let key = journal.bus().key.as_deref();
        if let Some(key) = key.filter(|_| !journal.roster().is_empty()) {
            journal.roster().check(key, doing)?;
        }
        let signature =
            key.and_then(|key| sign(key, journal.id(), &self.subject, expected.as_deref(), &self.content));
        match signature {
            Some(signature) => self.headers.insert(SIGNATURE, signature),
            None if journal.roster().is_empty() => {}
            None => return Err(Error::Unsigned { doing }),
        }
        Ok(())
    }

    /// Whether it stands at a sequence, or what another has written in its place.
    async fn is_at(&self, journal: &Journal, sequence: u64) -> Result<bool, Error> {
        let stored = Stored::at(journal.bus(), sequence).await?;
        let Some(stored) = stored.filter(|stored| stored.subject == self.subject) else { return Ok(false) };
        match stored.subject.parse() {
            // Anybody may say it, if it is this.
            Ok(Subject::Run { .. }) => Ok(stored.content == self.content),
            _ => journal.admits(&stored).await,
        }
    }

    /// With another id: the same each time, and known to nobody who hasn't the key.
    fn under_secret_id(mut self, key: &Key) -> Self {
        let id = self.headers.get(NATS_MESSAGE_ID).map(ToString::to_string).unwrap_or_default();
        let secret = key.sign(format!("cutover id\n{id}").as_bytes()).unwrap_or_default();
        self.headers.insert(NATS_MESSAGE_ID, format!("{id}/{}", hex::encode(secret)));
        self
    }

    /// Stored only if the last message on its subject has this sequence; 0: if there is none.
    pub(crate) fn expecting(mut self, sequence: u64) -> Self {
        self.headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, sequence.to_string());
        self
    }
}

/// Appends a message that is to be there once. Where one of its id is there, it is looked at: ids can be foretold, and whoever may
/// write anything may have given one to something else. Then this one is stored under an id that nobody can foretell.
pub(crate) async fn append_once(
    journal: &Journal,
    doing: &'static str,
    message: Message,
) -> Result<Appended, Error> {
    let appended = append(journal, doing, vec![message.clone()]).await?;
    match (appended, journal.bus().key.as_deref()) {
        (Appended::Duplicate { at: Some(at) }, Some(key)) if !message.is_at(journal, at).await? => {
            journal.count("foretold-id");
            append(journal, doing, vec![message.under_secret_id(key)]).await
        }
        _ => Ok(appended),
    }
}

/// Appends a message after whatever is the last on its subject, so that it can't be stored there a second time.
pub(crate) async fn append_after_last(
    journal: &Journal,
    doing: &'static str,
    stream: &str,
    message: Message,
) -> Result<u64, Error> {
    for _ in 0..CONFLICTS {
        let last =
            Stored::last_of_each(journal.bus(), stream, std::slice::from_ref(&message.subject)).await?;
        let expected = last.first().map_or(0, |last| last.sequence);
        if let Appended::At(sequence) =
            append(journal, doing, vec![message.clone().expecting(expected)]).await?
        {
            return Ok(sequence);
        }
        // A replica that is behind may have answered.
        tokio::time::sleep(BEHIND).await;
    }
    Err(Error::Unavailable { doing, description: "something else was written each time".to_owned() })
}

/// Appends all messages, or none. One message needs no batch, and is cheaper by far: for a batch the server makes a store of
/// its own on the disk (23 ms where a message takes 0.5, with `sync_interval: always`).
pub(crate) async fn append(
    journal: &Journal,
    doing: &'static str,
    mut messages: Vec<Message>,
) -> Result<Appended, Error> {
    for message in &mut messages {
        message.sign(journal, doing)?;
    }
    let bus = journal.bus();
    let Some(mut last) = messages.pop() else { return Ok(Appended::Duplicate { at: None }) };
    let before = messages.len();
    let client = &bus.client;
    let refused = bus.refusals.of(messages.iter().chain([&last]).map(|message| message.subject.clone()));
    if before > 0 {
        let id = bus.unique();
        for (index, mut message) in messages.into_iter().enumerate() {
            message.headers.insert(NATS_BATCH_ID, id.as_str());
            message.headers.insert(NATS_BATCH_SEQUENCE, (index + 1).to_string());
            client
                .publish_with_headers(message.subject, message.headers, message.content)
                .await
                .map_err(|error| Error::Request { doing, message: error.to_string() })?;
        }
        last.headers.insert(NATS_BATCH_ID, id.as_str());
        last.headers.insert(NATS_BATCH_SEQUENCE, (before + 1).to_string());
        last.headers.insert(NATS_BATCH_COMMIT, "1");
    }
    let answer = send(bus, doing, refused, last).await?;
    match answer.error {
        None if answer.duplicate => Ok(Appended::Duplicate { at: Some(answer.seq) }),
        None => Ok(Appended::At(answer.seq.saturating_sub(before as u64))),
        Some(error) => match error.error_code() {
            code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_CONSTANT => Ok(Appended::Conflict),
            // Whoever may write a hint may begin batches and leave them: the first messages of another are then refused unheard,
            // and the last one makes none.
            code::BATCH_INCOMPLETE | code::TOO_MANY_BATCHES => Ok(Appended::NoBatch),
            code::BATCH_HAS_DUPLICATE | code::DUPLICATE_IN_FLIGHT => Ok(Appended::Duplicate { at: None }),
            _ => Err(Error::of_jetstream(doing, &error)),
        },
    }
}

/// Stores a message that is no part of the journal: nobody signs it.
pub(crate) async fn store(bus: &Bus, doing: &'static str, message: Message) -> Result<Appended, Error> {
    let refused = bus.refusals.of(std::iter::once(message.subject.clone()));
    let answer = send(bus, doing, refused, message).await?;
    match answer.error {
        None if answer.duplicate => Ok(Appended::Duplicate { at: Some(answer.seq) }),
        None => Ok(Appended::At(answer.seq)),
        Some(error) if error.error_code() == code::DUPLICATE_IN_FLIGHT => {
            Ok(Appended::Duplicate { at: None })
        }
        Some(error) => Err(Error::of_jetstream(doing, &error)),
    }
}

/// Sends a message, and waits for what the server says to it, or that it refuses any of those that were sent.
async fn send(
    bus: &Bus,
    doing: &'static str,
    refused: RefusalsOf,
    message: Message,
) -> Result<Answer, Error> {
    let request = async_nats::Request::new()
        .headers(message.headers)
        .payload(message.content)
        .timeout(Some(ANSWER_LIMIT));
    let answer = tokio::select! {
        answer = bus.client.send_request(message.subject, request) => answer,
        subject = refused.next() => return Err(Error::NotAllowed { doing, subject }),
    };
    let answer = answer.map_err(|error| Error::of_request(doing, ANSWER_LIMIT, &error))?;
    serde_json::from_slice(&answer.payload).map_err(|source| Error::Content { doing: "read", source })
}
