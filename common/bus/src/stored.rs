//! Messages as the stream holds them, and the two ways to read them: from its leader, and from any replica.

use std::str::FromStr;
use std::time::SystemTime;

use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use async_nats::jetstream::message::{Info, StreamMessage};
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind};
use bytes::Bytes;
use cutover_core::{Service, Timestamp};
use futures_util::StreamExt;
use serde::Serialize;

use crate::append::ANSWER_LIMIT;
use crate::bus::LOG;
use crate::signature::SIGNATURE;
use crate::{Bus, Error};

/// The header of a message's id.
const MESSAGE_ID: &str = "Nats-Msg-Id";
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
const DOING: &str = "reading the journal";

/// Messages read by one request to any replica.
const MANY: u32 = 500;

/// A message as it is stored.
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    /// The message's id: it tells an own message, whose answer was lost, from another's.
    pub(crate) id: Option<String>,
    /// Who has signed it, and what.
    pub(crate) signature: Option<String>,
    /// The sequence that was the last on its subject, where its writer has asked the server to see to that.
    pub(crate) expected: Option<String>,
    pub(crate) content: Bytes,
}

/// Subjects whose last messages are read by one request: the server allows 1,024.
const SUBJECTS: usize = 1000;

/// A request for many messages at once (NATS ADR-31, batch direct get).
#[derive(Serialize)]
struct Batch<'a> {
    seq: u64,
    next_by_subj: &'a str,
    batch: u32,
}

/// A request for the last messages of many subjects (NATS ADR-31, multi-subject requests).
#[derive(Serialize)]
struct MultiLast<'a> {
    multi_last: &'a [String],
}

impl Stored {
    /// The last message of a subject, as the stream's leader has it.
    pub(crate) async fn last(bus: &Bus, subject: &str) -> Result<Option<Self>, Error> {
        found(bus.log().await?.get_last_raw_message_by_subject(subject).await)
    }

    /// The first message that matches, from a sequence on, as the stream's leader has it: what was acknowledged before
    /// is seen (NATS ADR-31, read-after-write coherency). Where there is none, the reader has read all.
    pub(crate) async fn next(bus: &Bus, from: u64, filter: &str) -> Result<Option<Self>, Error> {
        found(bus.log().await?.get_first_raw_message_by_subject(filter, from).await)
    }

    /// Many messages that match, from a sequence on, without a gap. Any replica answers, and one may be behind: that there
    /// are no more of them means nothing.
    pub(crate) async fn many(bus: &Bus, from: u64, filter: &str) -> Result<Vec<Self>, Error> {
        Self::direct(bus, LOG, &Batch { seq: from, next_by_subj: filter, batch: MANY }).await
    }

    /// The last message of each of the subjects, where there is one, as any replica of a stream has it.
    pub(crate) async fn last_of_each(
        bus: &Bus,
        stream: &str,
        subjects: &[String],
    ) -> Result<Vec<Self>, Error> {
        let mut last = Vec::new();
        for subjects in subjects.chunks(SUBJECTS) {
            last.extend(Self::direct(bus, stream, &MultiLast { multi_last: subjects }).await?);
        }
        Ok(last)
    }

    /// All answers to a request that has many.
    async fn direct(bus: &Bus, stream: &str, request: &impl Serialize) -> Result<Vec<Self>, Error> {
        let failed = |message: String| Error::Request { doing: DOING, message };
        let payload =
            serde_json::to_vec(request).map_err(|source| Error::Content { doing: "written", source })?;
        let inbox = bus.client.new_inbox();
        let mut answers =
            bus.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        bus.client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, payload.into())
            .await
            .map_err(|error| failed(error.to_string()))?;
        let mut stored: Vec<Self> = Vec::new();
        let timeout = || Error::Timeout { doing: DOING, seconds: ANSWER_LIMIT.as_secs() };
        while let Some(answer) =
            tokio::time::timeout(ANSWER_LIMIT, answers.next()).await.map_err(|_| timeout())?
        {
            let headers = answer.headers.unwrap_or_default();
            let before: Option<u64> = header(&headers, "Nats-Last-Sequence");
            // A stored message may have been published with a status of its own; the server has added the rest.
            let message = Self::read(&headers, answer.payload);
            match answer.status.map(|status| status.as_u16()).filter(|_| message.is_none()) {
                Some(404) => break,
                Some(503) => return Err(Error::leaderless(DOING)),
                Some(status) if status != 204 => {
                    let description = format!("status {status}, {}", answer.description.unwrap_or_default());
                    return Err(Error::JetStream { doing: DOING, code: u64::from(status), description });
                }
                // The server answers without flow control: what a broken connection has swallowed shows as a gap.
                status => {
                    if before != Some(stored.last().map_or(0, |last| last.sequence)) {
                        return Err(failed("a part of the answer was lost".to_owned()));
                    }
                    if status.is_some() {
                        break;
                    }
                    stored.push(message.ok_or_else(|| {
                        failed("an answer without the headers of a stored message".to_owned())
                    })?);
                }
            }
        }
        Ok(stored)
    }

    /// The service that a snapshot says.
    pub(crate) fn snapshot(&self) -> Result<Service, Error> {
        let service = serde_json::from_slice(&self.content)
            .map_err(|source| Error::Content { doing: "read", source })?;
        Ok(Service { snapshot_taken: true, ..service })
    }

    /// What was delivered by a consumer of the log.
    pub(crate) fn delivered(message: &Message, info: &Info<'_>) -> Self {
        let headers = message.headers.clone().unwrap_or_default();
        Self {
            subject: message.subject.to_string(),
            sequence: info.stream_sequence,
            at: published(info),
            id: header(&headers, MESSAGE_ID),
            signature: header(&headers, SIGNATURE),
            expected: header(&headers, EXPECTED),
            content: message.payload.clone(),
        }
    }

    fn read(headers: &HeaderMap, content: Bytes) -> Option<Self> {
        let at = humantime::parse_rfc3339(headers.get_last("Nats-Time-Stamp")?.as_str()).ok()?;
        Some(Self {
            subject: header(headers, "Nats-Subject")?,
            sequence: header(headers, "Nats-Sequence")?,
            at: timestamp(at),
            id: header(headers, MESSAGE_ID),
            signature: header(headers, SIGNATURE),
            expected: header(headers, EXPECTED),
            content,
        })
    }
}

impl From<StreamMessage> for Stored {
    fn from(message: StreamMessage) -> Self {
        Self {
            subject: message.subject.to_string(),
            sequence: message.sequence,
            at: at(message.time.unix_timestamp_nanos()),
            id: header(&message.headers, MESSAGE_ID),
            signature: header(&message.headers, SIGNATURE),
            expected: header(&message.headers, EXPECTED),
            content: message.payload,
        }
    }
}

fn found(answer: Result<StreamMessage, RawMessageError>) -> Result<Option<Stored>, Error> {
    match answer {
        Ok(message) => Ok(Some(message.into())),
        Err(error) => match error.kind() {
            RawMessageErrorKind::NoMessageFound => Ok(None),
            RawMessageErrorKind::JetStream(error) => Err(Error::of_jetstream(DOING, &error)),
            _ => Err(Error::Request { doing: DOING, message: error.to_string() }),
        },
    }
}

/// The last one of that name: those that the server adds come after those that a message was published with.
fn header<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get_last(name)?.as_str().parse().ok()
}

/// When a delivered message was published, by the server's clock.
pub(crate) fn published(info: &Info<'_>) -> Timestamp {
    at(info.published.unix_timestamp_nanos())
}

fn at(nanos: i128) -> Timestamp {
    Timestamp(u64::try_from(nanos / 1_000_000).unwrap_or_default())
}

fn timestamp(time: SystemTime) -> Timestamp {
    let elapsed = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(elapsed)
}

/// This machine's clock.
pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}
