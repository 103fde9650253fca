//! A store in a bucket of an S3 server: the same keys as a folder has files.

mod client;
mod copying;
mod foreign;
mod listing;
mod owner;
mod reading;
mod removal;
mod trouble;
mod writing;

use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use cutover_core::Digest;

use crate::{BucketAddress, Error, Result};

pub use foreign::{ForeignBucket, ForeignObject};
pub(crate) use reading::Object;
pub(crate) use writing::ObjectUpload;

/// Where finished content lies, below the prefix.
const BLOBS: &str = "blobs/sha256";
/// Where content lies whose digest isn't known yet.
const INCOMING: &str = "incoming";
/// Where whoever removes by age says so.
const REMOVING: &str = "removing";

/// In which pieces content travels.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// The parts of an upload, in bytes: at least 5 MiB, and all the same but the last, as R2 demands. S3 takes 10,000.
    pub part: usize,
    /// The parts of a copy within the bucket, in bytes, and what is copied in one request. S3 takes 5 GiB; a smaller part is an
    /// answer that comes sooner.
    pub copy: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { part: 8 * 1024 * 1024, copy: 512 * 1024 * 1024 }
    }
}

/// A bucket, and what all keys in it begin with.
#[derive(Debug)]
pub(crate) struct Bucket {
    client: Client,
    address: BucketAddress,
    sizes: Sizes,
}

/// What is known of an object without reading it.
pub(crate) struct Found {
    pub(crate) size: u64,
    at: SystemTime,
}

impl Bucket {
    /// Opens it and looks whether it can be listed: credentials and names are known to be right from then on.
    pub(crate) async fn open(address: BucketAddress, sizes: Sizes) -> Result<Self> {
        let bucket = Self { client: client::connect(&address).await, address, sizes };
        let listed = bucket.client.list_objects_v2().bucket(&bucket.address.bucket).max_keys(1);
        let listed = listed.prefix(bucket.address.key(BLOBS)).send().await;
        listed.map_err(bucket.failed("list", &bucket.address.prefix))?;
        Ok(bucket)
    }

    pub(crate) fn upload(self: &Arc<Self>) -> ObjectUpload {
        ObjectUpload::new(Arc::clone(self))
    }

    /// What is stored under a digest; none: nothing.
    pub(crate) async fn look_at(&self, digest: &Digest) -> Result<Option<Found>> {
        let key = self.key_of(digest);
        match self.client.head_object().bucket(&self.address.bucket).key(&key).send().await {
            Ok(head) => {
                Ok(Some(Found { size: length(head.content_length()), at: time(head.last_modified()) }))
            }
            Err(error) if trouble::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.failed("look at", &key)(error)),
        }
    }

    pub(crate) fn absent(&self, digest: &Digest) -> Error {
        Error::NotFound { digest: digest.clone(), place: self.place_of(digest) }
    }

    /// The object of a content, for people.
    pub(crate) fn place_of(&self, digest: &Digest) -> String {
        self.address.place(&self.key_of(digest))
    }

    fn key_of(&self, digest: &Digest) -> String {
        self.address.key(&format!("{BLOBS}/{}", digest.hex()))
    }
}

/// A length as S3 writes it. It is never negative.
fn length(length: Option<i64>) -> u64 {
    length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default()
}

/// A time as S3 writes it. What has none, or none that can be, is taken for new: it is not removed.
fn time(time: Option<&DateTime>) -> SystemTime {
    time.and_then(|time| SystemTime::try_from(*time).ok()).unwrap_or_else(SystemTime::now)
}
