//! Messages as the stream holds them, and the two ways to read them: from its leader, and from any replica.

use std::str::FromStr;
use std::time::SystemTime;

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind};
use bytes::Bytes;
use cutover_core::Timestamp;
use futures_util::StreamExt;
use serde::Serialize;

use crate::append::ANSWER_LIMIT;
use crate::bus::LOG;
use crate::{Bus, Error};

/// The header of a message's id.
const MESSAGE_ID: &str = "Nats-Msg-Id";
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
    pub(crate) content: Bytes,
}

/// A request for many messages at once (NATS ADR-31, batch direct get).
#[derive(Serialize)]
struct DirectGet<'a> {
    seq: u64,
    next_by_subj: &'a str,
    batch: u32,
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
        let failed = |message: String| Error::Request { doing: DOING, message };
        let request = DirectGet { seq: from, next_by_subj: filter, batch: MANY };
        let payload =
            serde_json::to_vec(&request).map_err(|source| Error::Content { doing: "written", source })?;
        let inbox = bus.client.new_inbox();
        let mut answers =
            bus.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        bus.client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{LOG}"), inbox, payload.into())
            .await
            .map_err(|error| failed(error.to_string()))?;
        let mut stored: Vec<Self> = Vec::new();
        let timeout = || Error::Timeout { doing: DOING, seconds: ANSWER_LIMIT.as_secs() };
        while let Some(answer) =
            tokio::time::timeout(ANSWER_LIMIT, answers.next()).await.map_err(|_| timeout())?
        {
            let headers = answer.headers.unwrap_or_default();
            let before: Option<u64> = header(&headers, "Nats-Last-Sequence");
            match answer.status.map(|status| status.as_u16()) {
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
                    stored.push(Self::read(&headers, answer.payload).ok_or_else(|| {
                        failed("an answer without the headers of a stored message".to_owned())
                    })?);
                }
            }
        }
        Ok(stored)
    }

    fn read(headers: &HeaderMap, content: Bytes) -> Option<Self> {
        let at = humantime::parse_rfc3339(headers.get("Nats-Time-Stamp")?.as_str()).ok()?;
        Some(Self {
            subject: header(headers, "Nats-Subject")?,
            sequence: header(headers, "Nats-Sequence")?,
            at: timestamp(at),
            id: header(headers, MESSAGE_ID),
            content,
        })
    }
}

impl From<StreamMessage> for Stored {
    fn from(message: StreamMessage) -> Self {
        let millis = message.time.unix_timestamp_nanos() / 1_000_000;
        Self {
            subject: message.subject.to_string(),
            sequence: message.sequence,
            at: Timestamp(u64::try_from(millis).unwrap_or_default()),
            id: header(&message.headers, MESSAGE_ID),
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

fn header<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.as_str().parse().ok()
}

fn timestamp(time: SystemTime) -> Timestamp {
    let elapsed = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(elapsed)
}

/// This machine's clock.
pub(crate) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}
