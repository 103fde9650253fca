//! What a bucket holds.

use std::time::SystemTime;

use cutover_core::Digest;

use super::{BLOBS, Bucket, INCOMING, REMOVING, length, time};
use crate::{Entry, Result};

/// An object in a listing.
pub(super) struct Listed {
    pub(super) key: String,
    size: u64,
    at: SystemTime,
}

impl Bucket {
    pub(crate) async fn list(&self) -> Result<Vec<Entry>> {
        let listed = self.list_below(BLOBS).await?.into_iter();
        let entry = |Listed { key, size, at }: Listed| {
            // Objects with other names than digests are somebody else's.
            let digest = format!("sha256:{}", key.rsplit('/').next()?).parse::<Digest>().ok()?;
            (self.key_of(&digest) == key).then_some(Entry { digest, size, at })
        };
        Ok(listed.filter_map(entry).collect())
    }

    /// All objects below a folder of the prefix.
    pub(super) async fn list_below(&self, folder: &str) -> Result<Vec<Listed>> {
        let prefix = format!("{}/", self.address.key(folder));
        let list = self.client.list_objects_v2().bucket(&self.address.bucket).prefix(&prefix);
        let mut pages = list.into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            for object in page.map_err(self.failed("list", &prefix))?.contents.unwrap_or_default() {
                let (size, at) = (length(object.size), time(object.last_modified.as_ref()));
                all.extend(object.key.map(|key| Listed { key, size, at }));
            }
        }
        Ok(all)
    }

    /// Removes what killed programs have left: objects that are not whole or not at their place, uploads, and marks.
    pub(crate) async fn remove_abandoned(&self, before: SystemTime) -> Result<()> {
        for folder in [INCOMING, REMOVING] {
            for Listed { key, .. } in
                self.list_below(folder).await?.into_iter().filter(|left| left.at < before)
            {
                self.discard(&key, None).await;
                tracing::info!(object = self.address.place(&key), "removed what a killed program left");
            }
        }
        self.give_up_uploads(before).await
    }

    async fn give_up_uploads(&self, before: SystemTime) -> Result<()> {
        let ours = [INCOMING, BLOBS].map(|folder| self.address.key(&format!("{folder}/")));
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let list = self.client.list_multipart_uploads().bucket(&self.address.bucket);
            let list = list.prefix(self.address.key("")).set_key_marker(key_marker.take());
            let page = list.set_upload_id_marker(id_marker.take()).send().await;
            let page = page.map_err(self.failed("list the uploads to", &self.address.prefix))?;
            for upload in page.uploads.unwrap_or_default() {
                let (Some(key), Some(id)) = (upload.key, upload.upload_id) else { continue };
                // In a bucket that is shared, other uploads are somebody else's.
                if !ours.iter().any(|folder| key.starts_with(folder)) {
                    continue;
                }
                if time(upload.initiated.as_ref()) < before {
                    self.discard(&key, Some(&id)).await;
                    tracing::info!(object = self.address.place(&key), "gave up an abandoned upload");
                }
            }
            if page.is_truncated != Some(true) || page.next_key_marker.is_none() {
                return Ok(());
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}
