//! Content on its way out of a bucket.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use cutover_core::Digest;
use futures_util::stream::{BoxStream, try_unfold};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::sleep;
use tokio_util::io::StreamReader;

use super::{Bucket, length, trouble};
use crate::{Error, Result, Trouble};

/// How often in a row reading is gone on with while next to nothing comes.
const TRIES: u32 = 5;
/// What is more than that, in bytes.
const PROGRESS: u64 = 1024 * 1024;
/// How long the first of these waits; the next ones wait longer.
const AGAIN: Duration = Duration::from_millis(200);

/// The content of an object, or a part of it.
pub(crate) struct Object(StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>);

impl Bucket {
    /// Begins to read a whole content; answers with its length too.
    pub(crate) async fn read(self: &Arc<Self>, digest: &Digest) -> Result<(Object, u64)> {
        let wanted = self.wanted(digest);
        let (body, size) = self.ask(&wanted, None).await?;
        Ok((self.object(wanted, Some(body), 0..size), size))
    }

    /// A part of a content that is known to be there.
    pub(crate) fn read_range(self: &Arc<Self>, digest: &Digest, range: Range<u64>) -> Object {
        self.object(self.wanted(digest), None, range)
    }

    fn wanted(&self, digest: &Digest) -> Wanted {
        Wanted { key: self.key_of(digest), tag: None, digest: Some(digest.clone()) }
    }

    pub(super) fn object(
        self: &Arc<Self>,
        wanted: Wanted,
        body: Option<ByteStream>,
        range: Range<u64>,
    ) -> Object {
        let bucket = Arc::clone(self);
        let reading = Reading { bucket, wanted, range, body, tries: 0, since: 0 };
        let pieces = try_unfold(reading, |mut reading| async move {
            let piece = reading.piece().await.map_err(io::Error::other)?;
            Ok(piece.map(|piece| (piece, reading)))
        });
        Object(StreamReader::new(Box::pin(pieces)))
    }

    async fn ask(&self, wanted: &Wanted, range: Option<&Range<u64>>) -> Result<(ByteStream, u64)> {
        let Wanted { key, tag, digest } = wanted;
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let asked = self.client.get_object().bucket(&self.address.bucket).key(key).set_range(range);
        match asked.set_if_match(tag.clone()).send().await {
            Ok(answer) => Ok((answer.body, length(answer.content_length))),
            // A bucket that is gone answers the same status, with a code of its own.
            Err(error)
                if trouble::status(&error) == Some(404)
                    && !error.as_service_error().is_some_and(is_of_bucket) =>
            {
                match digest {
                    Some(digest) => Err(self.absent(digest)),
                    None => Err(self.failed("read", key)(error)),
                }
            }
            Err(error) => Err(self.failed("read", key)(error)),
        }
    }
}

fn is_of_bucket(error: &impl aws_sdk_s3::error::ProvideErrorMetadata) -> bool {
    error.code() == Some("NoSuchBucket")
}

/// What is read.
pub(super) struct Wanted {
    pub(super) key: String,
    /// The state that it must be in (`ETag`); none: it never changes.
    pub(super) tag: Option<String>,
    /// Under which it is stored, where it is the store's.
    pub(super) digest: Option<Digest>,
}

/// Reading, and how far it has come.
struct Reading {
    bucket: Arc<Bucket>,
    wanted: Wanted,
    /// What is still to come.
    range: Range<u64>,
    /// None: it has to be asked for.
    body: Option<ByteStream>,
    tries: u32,
    /// What has come since it broke off last, in bytes.
    since: u64,
}

impl Reading {
    /// The next piece. What broke off is asked for again from where it was.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        while !self.range.is_empty() {
            let error = match self.try_piece().await {
                Ok(mut piece) => {
                    piece.truncate(usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX));
                    self.range.start += piece.len() as u64;
                    self.since += piece.len() as u64;
                    return Ok(Some(piece));
                }
                Err(error) => error,
            };
            self.body = None;
            self.tries = if self.since < PROGRESS { self.tries + 1 } else { 1 };
            self.since = 0;
            if self.tries > TRIES || !error.retryable() {
                return Err(error);
            }
            tracing::debug!(key = self.wanted.key, at = self.range.start, %error, "reading goes on where it broke off");
            sleep(AGAIN * 2_u32.pow(self.tries - 1)).await;
        }
        Ok(None)
    }

    async fn try_piece(&mut self) -> Result<Bytes> {
        let body = match &mut self.body {
            Some(body) => body,
            None => self.body.insert(self.bucket.ask(&self.wanted, Some(&self.range)).await?.0),
        };
        loop {
            let source: Box<dyn std::error::Error + Send + Sync> = match body.next().await {
                Some(Ok(piece)) if piece.is_empty() => continue,
                Some(Ok(piece)) => return Ok(piece),
                Some(Err(error)) => error.into(),
                None => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            };
            let place = self.bucket.address.place(&self.wanted.key);
            let trouble = Trouble::Unreachable;
            return Err(Error::S3 { action: "read", place, trouble, source: Some(source) });
        }
    }
}

impl AsyncRead for Object {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").finish_non_exhaustive()
    }
}
