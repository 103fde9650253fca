//! A store in a folder, or in a bucket, and what lies behind it.

use std::time::SystemTime;

use aws_sdk_s3::Client;
use cutover_store::{BucketAddress, Digest, Sizes, Store};
use tempfile::TempDir;

use crate::server;

/// The smallest parts that S3 takes: so what is longer than 5 MiB goes in several, and is copied in several.
pub(crate) const SIZES: Sizes = Sizes { part: 5 << 20, copy: 5 << 20 };

/// A place of its own for a test.
pub(crate) struct Place {
    pub(crate) store: Store,
    behind: Behind,
}

enum Behind {
    Folder(TempDir),
    Bucket(Client, BucketAddress),
}

impl Place {
    pub(crate) async fn folder() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        Self { store, behind: Behind::Folder(folder) }
    }

    pub(crate) async fn bucket() -> Self {
        let address = server::new_bucket().await;
        let store = Store::in_bucket(&address, SIZES).await.unwrap();
        Self { store, behind: Behind::Bucket(server::client(), address) }
    }

    /// Where a content lies, as errors name it.
    pub(crate) fn place_of(&self, digest: &Digest) -> String {
        match &self.behind {
            Behind::Folder(folder) => {
                folder.path().join("blobs/sha256").join(digest.hex()).display().to_string()
            }
            Behind::Bucket(_, address) => {
                let (bucket, key) = (&address.bucket, key_of(digest));
                format!("s3://{bucket}/{key} at {}", server::endpoint())
            }
        }
    }

    /// How many files or objects there are in one of the store's folders.
    pub(crate) async fn count(&self, folder: &str) -> usize {
        match &self.behind {
            Behind::Folder(root) => std::fs::read_dir(root.path().join(folder)).unwrap().count(),
            Behind::Bucket(client, address) => {
                let list = client.list_objects_v2().bucket(&address.bucket);
                let listed = list.prefix(format!("cutover/{folder}/")).send().await.unwrap();
                let uploads = client.list_multipart_uploads().bucket(&address.bucket);
                let uploads = uploads.prefix(format!("cutover/{folder}/")).send().await.unwrap();
                listed.contents().len() + uploads.uploads().len()
            }
        }
    }

    /// Waits until nothing is left of uploads: what was dropped is removed a moment later.
    pub(crate) async fn nothing_comes_in(&self) {
        for _ in 0..200 {
            if self.count("incoming").await == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("something is left in incoming/");
    }

    /// Puts other content in the place of a digest.
    pub(crate) async fn corrupt(&self, digest: &Digest, content: &'static [u8]) {
        match &self.behind {
            Behind::Folder(_) => std::fs::write(self.place_of(digest), content).unwrap(),
            Behind::Bucket(client, address) => {
                let put = client.put_object().bucket(&address.bucket).key(key_of(digest));
                put.body(content.to_vec().into()).send().await.unwrap();
            }
        }
    }

    /// When a content was stored or renewed last.
    pub(crate) async fn age_mark(&self, digest: &Digest) -> Option<SystemTime> {
        let listed = self.store.list().await.unwrap();
        listed.into_iter().find(|entry| entry.digest == *digest).map(|entry| entry.at)
    }
}

fn key_of(digest: &Digest) -> String {
    format!("cutover/blobs/sha256/{}", digest.hex())
}

/// Content that is nowhere the same.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length as u64 / 8 + 1)
        .flat_map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(length)
        .collect()
}

/// Runs each test in a folder and in a bucket.
macro_rules! in_both_places {
    ($($test:ident),* $(,)?) => {
        mod in_a_folder {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::place::Place::folder().await).await;
            })*
        }
        mod in_a_bucket {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::place::Place::bucket().await).await;
            })*
        }
    };
}
pub(crate) use in_both_places;
