//! A bucket that is somebody else's: it is read, and nothing else.

use std::sync::Arc;

use tokio::io::AsyncRead;

use super::reading::Wanted;
use super::{Bucket, Sizes, client, length};
use crate::{BucketAddress, Result};

/// The objects of a bucket below a prefix.
#[derive(Debug, Clone)]
pub struct ForeignBucket(Arc<Bucket>);

/// An object of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignObject {
    /// Its name below the prefix.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// What changes with its content, as the server says (`ETag`).
    pub tag: String,
    key: String,
}

impl ForeignBucket {
    /// The bucket of that address. Nothing is asked yet.
    pub async fn open(address: BucketAddress) -> Self {
        let client = Box::pin(client::connect(&address)).await;
        Self(Arc::new(Bucket { client, address, sizes: Sizes::default() }))
    }

    /// All objects below the prefix, by their names; the one of just that key, where there is nothing below it.
    ///
    /// # Errors
    /// A server that doesn't answer, lacks the bucket or doesn't accept the credentials.
    pub async fn list(&self) -> Result<Vec<ForeignObject>> {
        let Bucket { client, address, .. } = self.0.as_ref();
        let list = client.list_objects_v2().bucket(&address.bucket).prefix(&address.prefix);
        let mut pages = list.into_paginator().send();
        let (mut below, mut alone) = (Vec::new(), None);
        while let Some(page) = pages.next().await {
            let page = page.map_err(self.0.failed("list", &address.prefix))?;
            for object in page.contents.unwrap_or_default() {
                let Some(key) = object.key else { continue };
                let (size, tag) = (length(object.size), object.e_tag.unwrap_or_default());
                let is_below = |rest: &str| address.prefix.is_empty() || rest.starts_with('/');
                let rest = key.strip_prefix(&address.prefix).unwrap_or_default();
                let name = rest.trim_start_matches('/').to_owned();
                if rest.is_empty() {
                    let name = key.rsplit('/').next().unwrap_or(&key).to_owned();
                    alone = Some(ForeignObject { name, size, tag, key });
                } else if is_below(rest) && !name.is_empty() && !name.ends_with('/') {
                    // What ends in a slash is a folder that some tool has drawn.
                    below.push(ForeignObject { name, size, tag, key });
                }
            }
        }
        if below.is_empty() {
            below.extend(alone);
        }
        below.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(below)
    }

    /// Reads an object from its beginning. What breaks off goes on where it was, as long as it is the same object.
    pub fn read(&self, object: &ForeignObject) -> impl AsyncRead + Send + Unpin + use<> {
        let wanted = Wanted { key: object.key.clone(), tag: Some(object.tag.clone()), digest: None };
        self.0.object(wanted, None, 0..object.size)
    }

    /// The object, or all of them, for people.
    pub fn place(&self, object: Option<&ForeignObject>) -> String {
        self.0.address.place(object.map_or(&self.0.address.prefix, |object| &object.key))
    }
}
