//! Content on its way into a bucket.
//!
//! What fits into one part is kept in memory until its digest is known, and stored with one request. What is longer goes part
//! by part to a key of its own in `incoming/`, as the key that it belongs to is known only at the end, and is copied from there
//! within the server. The other way, through a file on this machine, would need a disk as large as what is stored, which the
//! programs in containers don't have, and would send nothing before the last byte has come. A copy is as good for writers that
//! store the same at once: each writes all of the content, and an object appears with a whole content or not at all. A condition
//! that nothing is there (`If-None-Match`) is not wanted: storing again mends a corrupt object, and makes an old one young.

use std::fmt;
use std::mem;
use std::sync::Arc;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use cutover_core::Digest;
use tokio::task::JoinSet;
use ulid::Ulid;

use super::{Bucket, INCOMING, trouble};
use crate::{Error, Result};

/// Parts that are sent at once, beside the one that is filled: so an upload takes three parts of memory.
const IN_FLIGHT: usize = 2;
/// The parts that S3 takes.
const MOST_PARTS: u16 = 10_000;
/// How often content is stored that is removed at the same moment.
const TRIES: u32 = 3;

/// An upload to a bucket.
#[derive(Debug)]
pub(crate) struct ObjectUpload {
    bucket: Arc<Bucket>,
    /// The part that is being filled.
    part: Vec<u8>,
    /// What was sent; none as long as all fits into one part.
    staged: Option<Staged>,
}

impl ObjectUpload {
    pub(super) const fn new(bucket: Arc<Bucket>) -> Self {
        Self { bucket, part: Vec::new(), staged: None }
    }

    /// Takes some of the piece and says how much. Cancel safe. After an error it may be gone on with: what couldn't be sent is
    /// sent again.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Result<usize> {
        if self.part.len() == self.bucket.sizes.part {
            Box::pin(self.send_part()).await?;
        }
        let taken = piece.len().min(self.bucket.sizes.part - self.part.len());
        self.part.extend_from_slice(&piece[..taken]);
        Ok(taken)
    }

    async fn send_part(&mut self) -> Result<()> {
        let staged = match &mut self.staged {
            Some(staged) => staged,
            none => none.insert(Staged::begin(&self.bucket).await?),
        };
        staged.settle(IN_FLIGHT - 1).await?;
        let number = staged.next_number()?;
        staged.send(number, mem::take(&mut self.part).into());
        Ok(())
    }

    /// Brings the content to its place.
    pub(crate) async fn publish(mut self, digest: &Digest, size: u64) -> Result<()> {
        if self.staged.is_none() {
            return self.put(digest).await;
        }
        if !self.part.is_empty() {
            self.send_part().await?;
        }
        let Some(mut staged) = self.staged.take() else { return Ok(()) };
        staged.complete(size).await?;
        for _ in 0..TRIES {
            self.bucket.copy(&staged.key, digest, size).await?;
            if self.bucket.stays(digest).await? {
                staged.remove().await;
                return Ok(());
            }
        }
        Err(Error::Vanished { place: self.bucket.place_of(digest) })
    }

    async fn put(self, digest: &Digest) -> Result<()> {
        let (bucket, key, content) = (&self.bucket, self.bucket.key_of(digest), Bytes::from(self.part));
        for _ in 0..TRIES {
            let put = bucket.client.put_object().bucket(&bucket.address.bucket).key(&key);
            put.body(content.clone().into()).send().await.map_err(bucket.failed("store", &key))?;
            if bucket.stays(digest).await? {
                return Ok(());
            }
        }
        Err(Error::Vanished { place: bucket.place_of(digest) })
    }
}

/// A multipart upload to a key in `incoming/`, and the object that it becomes. Dropped, it is removed.
struct Staged {
    bucket: Arc<Bucket>,
    key: String,
    /// Of the upload; none once it is an object.
    id: Option<String>,
    numbers: u16,
    in_flight: JoinSet<Sent>,
    sent: Vec<CompletedPart>,
    is_removed: bool,
}

/// A part, and what became of it.
struct Sent {
    number: u16,
    content: Bytes,
    result: Result<CompletedPart>,
}

impl Staged {
    async fn begin(bucket: &Arc<Bucket>) -> Result<Self> {
        let key = bucket.address.key(&format!("{INCOMING}/{}", Ulid::generate()));
        let id = bucket.begin_parts(&key).await?;
        Ok(Self {
            bucket: Arc::clone(bucket),
            key,
            id: Some(id),
            numbers: 0,
            in_flight: JoinSet::new(),
            sent: Vec::new(),
            is_removed: false,
        })
    }

    fn next_number(&mut self) -> Result<u16> {
        if self.numbers == MOST_PARTS {
            let limit = u64::from(MOST_PARTS) * self.bucket.sizes.part as u64;
            return Err(Error::TooLong { limit });
        }
        self.numbers += 1;
        Ok(self.numbers)
    }

    /// Begins to send a part. The client sends it again by itself, several times, where that may help: alone, not all of them.
    fn send(&mut self, number: u16, content: Bytes) {
        let (bucket, key, id) = (Arc::clone(&self.bucket), self.key.clone(), self.id.clone());
        self.in_flight.spawn(async move {
            let part = bucket.client.upload_part().bucket(&bucket.address.bucket).key(&key);
            let part = part.set_upload_id(id).part_number(i32::from(number)).body(content.clone().into());
            let sent = part.send().await.map_err(bucket.failed("send a part of", &key));
            let result = sent.map(|sent| {
                CompletedPart::builder()
                    .part_number(i32::from(number))
                    .set_e_tag(sent.e_tag)
                    .set_checksum_crc32(sent.checksum_crc32)
                    .set_checksum_crc32_c(sent.checksum_crc32_c)
                    .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
                    .set_checksum_sha1(sent.checksum_sha1)
                    .set_checksum_sha256(sent.checksum_sha256)
                    .build()
            });
            Sent { number, content, result }
        });
    }

    /// Waits until no more parts than `most` are under way. One that failed is sent once more, and the failure told.
    async fn settle(&mut self, most: usize) -> Result<()> {
        while self.in_flight.len() > most {
            // A task that panics or is aborted leaves a hole in the content: there is neither here.
            let Some(Ok(Sent { number, content, result })) = self.in_flight.join_next().await else {
                continue;
            };
            match result {
                Ok(part) => self.sent.push(part),
                Err(error) => {
                    self.send(number, content);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Makes one object of the parts.
    async fn complete(&mut self, size: u64) -> Result<()> {
        self.settle(0).await?;
        let Some(id) = self.id.clone() else { return Ok(()) };
        let mut parts = mem::take(&mut self.sent);
        parts.sort_unstable_by_key(|part| part.part_number);
        debug_assert_eq!(parts.len(), usize::from(self.numbers));
        self.bucket.complete_parts(&self.key, &id, parts, size).await?;
        self.id = None;
        Ok(())
    }

    /// Removes the object. Where that fails it is removed a day later.
    async fn remove(mut self) {
        self.is_removed = true;
        self.bucket.discard(&self.key, None).await;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.is_removed {
            return;
        }
        let (bucket, key, id) = (Arc::clone(&self.bucket), mem::take(&mut self.key), self.id.take());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { bucket.discard(&key, id.as_deref()).await });
        }
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("key", &self.key).field("parts", &self.numbers).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Begins an upload in parts to a key; answers with its id.
    pub(super) async fn begin_parts(&self, key: &str) -> Result<String> {
        let begun = self.client.create_multipart_upload().bucket(&self.address.bucket).key(key).send().await;
        Ok(begun.map_err(self.failed("begin to store", key))?.upload_id.unwrap_or_default())
    }

    /// Ends it.
    pub(super) async fn complete_parts(
        &self,
        key: &str,
        id: &str,
        parts: Vec<CompletedPart>,
        size: u64,
    ) -> Result<()> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.address.bucket).key(key);
        let Err(error) = complete.upload_id(id).multipart_upload(parts).send().await else { return Ok(()) };
        // Where only the answer was lost, the upload is gone when it is completed again, and the object is there.
        if trouble::status(&error) == Some(404) {
            let head = self.client.head_object().bucket(&self.address.bucket).key(key).send().await;
            if head.is_ok_and(|head| super::length(head.content_length()) == size) {
                return Ok(());
            }
        }
        Err(self.failed("complete", key)(error))
    }

    /// Removes an object, or gives an upload up. Where that fails, it is found a day later.
    pub(super) async fn discard(&self, key: &str, upload: Option<&str>) {
        let (bucket, place) = (&self.address.bucket, self.address.place(key));
        let failed = match upload {
            Some(id) => {
                let abort = self.client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id);
                abort.send().await.err().map(self.failed("give up", key))
            }
            None => {
                let delete = self.client.delete_object().bucket(bucket).key(key);
                delete.send().await.err().map(self.failed("remove", key))
            }
        };
        if let Some(error) = failed {
            tracing::debug!(place, %error, "what an upload left stays for now");
        }
    }
}
