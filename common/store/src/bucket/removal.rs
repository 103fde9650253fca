//! Removal by age, while others store.
//!
//! S3 has no request that removes an object only as long as it is old. So whoever removes says so first: it puts a mark, then
//! looks at the age of each object, removes those that are old, and takes the mark away. Whoever stores or renews an object
//! looks for marks *afterwards*, waits until those that it sees are gone, and then looks whether the object still is there. From
//! then on it stays: whoever had put a mark before has removed what it will, and whoever puts one later sees a young object. Each
//! of the two writes before it reads, and S3 shows what was written to every later read, so neither can miss the other; and
//! neither waits for the other unless both are at work in the same second. A mark whose owner was killed is waited for once, for
//! longer than a removal may take, by whoever sees it first.

use std::time::{Duration, SystemTime};

use cutover_core::Digest;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout_at};
use ulid::Ulid;

use super::{Bucket, REMOVING};
use crate::{Removed, Result};

/// Contents that are removed under one mark.
const BATCH: usize = 100;
const IN_FLIGHT: usize = 16;
/// How long that may take, from before the mark is put.
const BATCH_LIMIT: Duration = Duration::from_secs(30);
/// How long a mark is respected. What was sent before the limit has arrived by then.
const MARK_LASTS: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(200);

impl Bucket {
    pub(crate) async fn remove_older(&self, digests: &[Digest], before: SystemTime) -> Result<Removed> {
        let mut all = Removed::default();
        for batch in digests.chunks(BATCH) {
            let until = Instant::now() + BATCH_LIMIT;
            let mark = self.address.key(&format!("{REMOVING}/{}", Ulid::generate()));
            let put = self.client.put_object().bucket(&self.address.bucket).key(&mark).send().await;
            put.map_err(self.failed("put a mark at", &mark))?;
            let removals = stream::iter(batch.to_vec())
                .map(|digest| async move { self.remove_if_older(&digest, before).await });
            let mut removals = removals.buffer_unordered(IN_FLIGHT);
            let mut is_sure = true;
            while let Some(removed) = timeout_at(until, removals.next()).await.transpose() {
                match removed {
                    Ok(Ok(Some(bytes))) => {
                        all.count += 1;
                        all.bytes += bytes;
                    }
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => {
                        is_sure = false;
                        tracing::warn!(%error, "what nothing needs could not be removed");
                    }
                    Err(_) => {
                        is_sure = false;
                        tracing::warn!(seconds = BATCH_LIMIT.as_secs(), "removing takes too long");
                        break;
                    }
                }
            }
            drop(removals);
            // What was sent without an answer may still be under way: then the mark stays, and is waited out.
            if is_sure {
                self.discard(&mark, None).await;
            }
        }
        Ok(all)
    }

    /// Answers with its length, or nothing where it is younger or gone.
    async fn remove_if_older(&self, digest: &Digest, before: SystemTime) -> Result<Option<u64>> {
        let Some(found) = self.look_at(digest).await?.filter(|found| found.at < before) else {
            return Ok(None);
        };
        let key = self.key_of(digest);
        let removed = self.client.delete_object().bucket(&self.address.bucket).key(&key).send().await;
        removed.map_err(self.failed("remove", &key))?;
        Ok(Some(found.size))
    }

    /// Whether a content that was made young just now is there, and can't be removed any more by whoever saw it old.
    pub(super) async fn stays(&self, digest: &Digest) -> Result<bool> {
        let (begun, mut left) = (Instant::now(), self.marks().await?);
        while !left.is_empty() && begun.elapsed() <= MARK_LASTS {
            sleep(AGAIN).await;
            // What has been put since sees a young object.
            let now = self.marks().await?;
            left.retain(|mark| now.contains(mark));
        }
        for mark in left {
            self.discard(&mark, None).await;
        }
        Ok(self.look_at(digest).await?.is_some())
    }

    async fn marks(&self) -> Result<Vec<String>> {
        Ok(self.list_below(REMOVING).await?.into_iter().map(|mark| mark.key).collect())
    }
}
