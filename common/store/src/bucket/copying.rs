//! Copies within a bucket, which the server makes: nothing of them travels.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::types::{CompletedPart, MetadataDirective};
use cutover_core::Digest;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Bucket;
use crate::Result;

/// Parts of a copy that are made at once.
const IN_FLIGHT: usize = 4;
/// Content that is younger needs no renewal: what it is renewed for is named in the journal long before the rest of a day.
const YOUNG: Duration = Duration::from_hours(12);

impl Bucket {
    /// Copies the object of a key to the place of its content. One request copies 5 GiB at most, and answers only at the end:
    /// what is longer than a part is copied part by part.
    pub(super) async fn copy(&self, from: &str, digest: &Digest, size: u64) -> Result<()> {
        let (bucket, key) = (&self.address.bucket, self.key_of(digest));
        let source = format!("{bucket}/{from}");
        if size <= self.sizes.copy {
            let copy = self.client.copy_object().bucket(bucket).key(&key).copy_source(source);
            // Without it, S3 refuses to copy an object to itself.
            let copy = copy.metadata_directive(MetadataDirective::Replace);
            copy.send().await.map_err(self.failed("copy to", &key))?;
            return Ok(());
        }
        let id = self.begin_parts(&key).await?;
        let copied = self.copy_parts(&source, &key, &id, size).await;
        if copied.is_err() {
            self.discard(&key, Some(&id)).await;
        }
        copied
    }

    async fn copy_parts(&self, source: &str, key: &str, id: &str, size: u64) -> Result<()> {
        let starts = (1..).zip((0..size).step_by(usize::try_from(self.sizes.copy).unwrap_or(usize::MAX)));
        let copies = stream::iter(starts).map(|(number, start)| async move {
            let last = (start + self.sizes.copy).min(size) - 1;
            let copy = self.client.upload_part_copy().bucket(&self.address.bucket).key(key);
            let copy = copy.upload_id(id).part_number(number).copy_source(source);
            let copied = copy.copy_source_range(format!("bytes={start}-{last}")).send().await;
            let part = copied.map_err(self.failed("copy a part to", key))?.copy_part_result;
            let part = part.unwrap_or_else(|| aws_sdk_s3::types::CopyPartResult::builder().build());
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_crc32(part.checksum_crc32)
                .set_checksum_crc32_c(part.checksum_crc32_c)
                .set_checksum_crc64_nvme(part.checksum_crc64_nvme)
                .set_checksum_sha1(part.checksum_sha1)
                .set_checksum_sha256(part.checksum_sha256)
                .build())
        });
        let parts: Vec<CompletedPart> = copies.buffered(IN_FLIGHT).try_collect().await?;
        self.complete_parts(key, id, parts, size).await
    }

    /// Makes a content young by copying it to itself, unless it is. Answers with its length, where it is there afterwards.
    pub(crate) async fn renew(&self, digest: &Digest) -> Result<Option<u64>> {
        let Some(found) = self.look_at(digest).await? else { return Ok(None) };
        if found.at < SystemTime::now().checked_sub(YOUNG).unwrap_or(SystemTime::UNIX_EPOCH) {
            match self.copy(&self.key_of(digest), digest, found.size).await {
                Err(_) if self.look_at(digest).await?.is_none() => return Ok(None),
                copied => copied?,
            }
        }
        Ok(self.stays(digest).await?.then_some(found.size))
    }
}
