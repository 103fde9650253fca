//! Messages as the stream holds them, and the two ways to read them: from its leader, and from any replica.

use std::ops::Range;
use std::str::FromStr;
use std::time::SystemTime;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE as EXPECTED, NATS_MESSAGE_ID as MESSAGE_ID};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::Info;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cutover_core::{Service, Timestamp};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::append::ANSWER_LIMIT;
use crate::bus::LOG;
use crate::listener::Line;
use crate::signature::SIGNATURE;
use crate::{Bus, Error};

/// The header that has the server compare the expected sequence with another subject's.
const EXPECTED_OF: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
const DOING: &str = "reading the journal";

/// Messages read by one request to any replica, and bytes of them.
const MANY: u32 = 500;
const MANY_BYTES: u32 = 16 << 20;

/// A message as it is stored.
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    /// The message's id: it tells an own message, whose answer was lost, from another's.
    pub(crate) id: Option<String>,
    /// Who has signed it, and what.
    pub(crate) signature: Option<String>,
    /// What was said to be the last sequence on its subject: one number, where an honest writer has said it. Whether the server
    /// has read it so when it stored the message, is another question: it doesn't read headers as clients do.
    pub(crate) expected: Option<String>,
    pub(crate) content: Bytes,
    /// Whether everybody reads the same in its headers, as far as that was looked at.
    is_clear: bool,
}

/// Subjects whose last messages are read by one request: the server allows 1,024.
const SUBJECTS: usize = 1000;

/// A request for many messages at once (NATS ADR-31, batch direct get).
#[derive(Serialize)]
struct Batch<'a> {
    seq: u64,
    next_by_subj: &'a str,
    batch: u32,
    max_bytes: u32,
}

/// A request for one message, to the leader.
#[derive(Serialize, Default)]
struct One<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
}

/// The answer to it.
#[derive(Deserialize)]
struct Answer {
    message: Option<Raw>,
    error: Option<async_nats::jetstream::Error>,
}

/// A message as it lies in the stream, its content and its headers in base64.
#[derive(Deserialize)]
struct Raw {
    subject: String,
    seq: u64,
    time: String,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
}

/// A request for the last messages of many subjects (NATS ADR-31, multi-subject requests).
#[derive(Serialize)]
struct MultiLast<'a> {
    multi_last: &'a [String],
}

impl Stored {
    /// The last message of a subject, as the stream's leader has it.
    pub(crate) async fn last(bus: &Bus, subject: &str) -> Result<Option<Self>, Error> {
        Self::one(bus, LOG, &One { last_by_subj: Some(subject), ..One::default() }).await
    }

    /// The first message that matches, from a sequence on, as the stream's leader has it: what was acknowledged before
    /// is seen (NATS ADR-31, read-after-write coherency). Where there is none, the reader has read all.
    pub(crate) async fn next(bus: &Bus, from: u64, filter: &str) -> Result<Option<Self>, Error> {
        Self::next_in(bus, LOG, from, filter).await
    }

    /// The same of any stream.
    pub(crate) async fn next_in(
        bus: &Bus,
        stream: &str,
        from: u64,
        filter: &str,
    ) -> Result<Option<Self>, Error> {
        Self::one(bus, stream, &One { seq: Some(from), next_by_subj: Some(filter), ..One::default() }).await
    }

    /// Some messages of a stream that match, from a sequence on, without a gap; none, where the leader has no more.
    pub(crate) async fn part(bus: &Bus, stream: &str, from: u64, filter: &str) -> Result<Vec<Self>, Error> {
        let Some(first) = Self::next_in(bus, stream, from, filter).await? else { return Ok(Vec::new()) };
        // As far as whichever replica answers has them.
        let mut many = Self::many_of(bus, stream, first.sequence, filter).await?;
        if many.is_empty() {
            many.push(first);
        }
        Ok(many)
    }

    /// Whether everybody reads the same in its headers, if one reads them at all.
    pub(crate) const fn is_clear(&self) -> bool {
        self.is_clear
    }

    /// The message at a sequence, as the stream's leader has it.
    pub(crate) async fn at(bus: &Bus, sequence: u64) -> Result<Option<Self>, Error> {
        Self::one(bus, LOG, &One { seq: Some(sequence), ..One::default() }).await
    }

    /// Asks the leader. Headers come as they were stored, so that none can keep anybody from reading.
    async fn one(bus: &Bus, stream: &str, request: &One<'_>) -> Result<Option<Self>, Error> {
        let payload =
            serde_json::to_vec(request).map_err(|source| Error::Content { doing: "written", source })?;
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(ANSWER_LIMIT));
        let answer = bus.client.send_request(bus.api(&format!("STREAM.MSG.GET.{stream}")), request).await;
        let answer = answer.map_err(|error| Error::of_request(DOING, ANSWER_LIMIT, &error))?;
        let answer: Answer = serde_json::from_slice(&answer.payload)
            .map_err(|source| Error::Content { doing: "read", source })?;
        match (answer.error, answer.message) {
            (Some(error), _) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            (Some(error), _) => Err(Error::of_jetstream(DOING, &error)),
            (None, raw) => Ok(raw.and_then(Raw::read)),
        }
    }

    /// Many messages that match, from a sequence on, without a gap. Any replica answers, and one may be behind; and one of them may have
    /// headers over which the connection is lost. So that there are no more of them means nothing: the next one is the leader's to say.
    pub(crate) async fn many(bus: &Bus, from: u64, filter: &str) -> Result<Vec<Self>, Error> {
        Self::many_of(bus, LOG, from, filter).await
    }

    async fn many_of(bus: &Bus, stream: &str, from: u64, filter: &str) -> Result<Vec<Self>, Error> {
        if let Some(end) = bus.rough.end_of(stream, from) {
            return Self::one_by_one(bus, stream, from..end, filter).await;
        }
        let request = Batch { seq: from, next_by_subj: filter, batch: MANY, max_bytes: MANY_BYTES };
        let mut stored = Vec::new();
        match Self::direct(bus, stream, &request, &mut stored).await {
            Err(error) if error.retryable() => {
                tracing::debug!(stream, from, %error, "not all was read at once");
                bus.rough.note(stream, stored.last().map_or(from, |last| last.sequence + 1));
            }
            read => read?,
        }
        Ok(stored)
    }

    /// The same of some sequences, by a request for each.
    async fn one_by_one(
        bus: &Bus,
        stream: &str,
        sequences: Range<u64>,
        filter: &str,
    ) -> Result<Vec<Self>, Error> {
        let (mut from, mut stored) = (sequences.start, Vec::new());
        while stored.len() < MANY as usize {
            let next = Self::next_in(bus, stream, from, filter).await?;
            let Some(next) = next.filter(|next| next.sequence < sequences.end) else { break };
            from = next.sequence + 1;
            stored.push(next);
        }
        Ok(stored)
    }

    /// The last message of each of the subjects, where there is one, as any replica of a stream has it; its leader, where they can't be
    /// read at once.
    pub(crate) async fn last_of_each(
        bus: &Bus,
        stream: &str,
        subjects: &[String],
    ) -> Result<Vec<Self>, Error> {
        let mut last = Vec::new();
        for subjects in subjects.chunks(SUBJECTS) {
            let mut stored = Vec::new();
            if !bus.rough.is_last(stream) {
                match Self::direct(bus, stream, &MultiLast { multi_last: subjects }, &mut stored).await {
                    Err(error) if error.retryable() => {
                        tracing::debug!(stream, %error, "not all was read at once");
                        bus.rough.note_last(stream);
                    }
                    read => {
                        read?;
                        last.extend(stored);
                        continue;
                    }
                }
            }
            for subject in subjects {
                let request = One { last_by_subj: Some(subject), ..One::default() };
                last.extend(Self::one(bus, stream, &request).await?);
            }
        }
        Ok(last)
    }

    /// Adds all answers to a request that has many, as far as they came where it fails. They come with their headers, by the connection
    /// that may be lost over them.
    async fn direct(
        bus: &Bus,
        stream: &str,
        request: &impl Serialize,
        stored: &mut Vec<Self>,
    ) -> Result<(), Error> {
        let line = bus.line().await?;
        let read = Self::direct_by(&line, bus, stream, request, stored).await;
        if read.is_err() {
            bus.has_ended(&line).await;
        }
        read
    }

    async fn direct_by(
        line: &Line,
        bus: &Bus,
        stream: &str,
        request: &impl Serialize,
        stored: &mut Vec<Self>,
    ) -> Result<(), Error> {
        let failed = |message: String| Error::Request { doing: DOING, message };
        let payload =
            serde_json::to_vec(request).map_err(|source| Error::Content { doing: "written", source })?;
        let inbox = line.client.new_inbox();
        let mut answers =
            line.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        line.client
            .publish_with_reply(bus.api(&format!("DIRECT.GET.{stream}")), inbox, payload.into())
            .await
            .map_err(|error| failed(error.to_string()))?;
        let lost = line.is_lost();
        tokio::pin!(lost);
        loop {
            let answer = tokio::select! {
                answer = tokio::time::timeout(ANSWER_LIMIT, answers.next()) => answer,
                () = &mut lost => Ok(None),
            };
            let timeout = |_| Error::Timeout { doing: DOING, seconds: ANSWER_LIMIT.as_secs() };
            let answer =
                answer.map_err(timeout)?.ok_or_else(|| failed("the connection was lost".to_owned()))?;
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
        Ok(())
    }

    /// The service that a snapshot says.
    pub(crate) fn snapshot(&self) -> Result<Service, Error> {
        let service = serde_json::from_slice(&self.content)
            .map_err(|source| Error::Content { doing: "read", source })?;
        Ok(Service { snapshot_taken: true, ..service })
    }

    fn read(headers: &HeaderMap, content: Bytes) -> Option<Self> {
        let at = humantime::parse_rfc3339(headers.get_last("Nats-Time-Stamp")?.as_str()).ok()?;
        Some(Self {
            subject: header(headers, "Nats-Subject")?,
            sequence: header(headers, "Nats-Sequence")?,
            at: timestamp(at),
            id: header(headers, MESSAGE_ID.as_ref()),
            signature: header(headers, SIGNATURE),
            expected: expected(headers),
            content,
            is_clear: true,
        })
    }
}

impl Raw {
    /// None, where the server has sent something else than it says.
    fn read(self) -> Option<Stored> {
        let raw = STANDARD.decode(self.hdrs).ok()?;
        let clear = headers(&raw);
        let is_clear = raw.is_empty() || clear.is_some();
        let headers = clear.unwrap_or_default();
        let at = humantime::parse_rfc3339(&self.time).ok()?;
        Some(Stored {
            subject: self.subject,
            sequence: self.seq,
            at: timestamp(at),
            id: header(&headers, MESSAGE_ID.as_ref()),
            signature: header(&headers, SIGNATURE),
            expected: expected(&headers),
            content: STANDARD.decode(self.data).ok()?.into(),
            is_clear,
        })
    }
}

/// The headers of a message, where everybody reads the same in them: each name once, on a line of its own. Everything else is
/// somebody's who wants the server to read them in another way than those who come later.
fn headers(raw: &[u8]) -> Option<HeaderMap> {
    let text = std::str::from_utf8(raw).ok()?;
    let lines = text.strip_prefix("NATS/1.0\r\n")?.strip_suffix("\r\n\r\n")?;
    let mut headers = HeaderMap::new();
    for line in lines.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        let (name, value) = (
            name.parse::<async_nats::HeaderName>().ok()?,
            value.trim().parse::<async_nats::HeaderValue>().ok()?,
        );
        if headers.get(name.clone()).is_some() || value.as_str().contains("Nats-Expected-") {
            return None;
        }
        headers.insert(name, value);
    }
    Some(headers)
}

/// What the headers expect to be the last sequence of the subject; in words that nobody signs, where they say it twice, or of
/// another subject.
fn expected(headers: &HeaderMap) -> Option<String> {
    let all = [EXPECTED.as_ref(), EXPECTED_OF].map(|name| headers.get_all(name).map(|value| value.as_str()));
    let said: Vec<&str> = all.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(", "))
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
