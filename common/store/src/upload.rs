//! Content on its way in.

use cutover_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::bucket::ObjectUpload;
use crate::folder::FileUpload;
use crate::{Error, Result};

/// How much is read, hashed and written at once, in bytes.
pub(crate) const CHUNK: usize = 256 * 1024;

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The digest under which it can be had.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// Content that arrives in pieces. It counts for nothing until [`finish`](Self::finish), and an upload that is dropped
/// leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    target: Target,
    hash: Sha256,
    size: u64,
}

/// Where it is written to.
#[derive(Debug)]
pub(crate) enum Target {
    File(FileUpload),
    Object(ObjectUpload),
}

impl Upload {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, hash: Sha256::new(), size: 0 }
    }

    /// How much has come so far, in bytes: where the next piece goes on.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a piece. Cancel safe: [`size`](Self::size) says how much of it was taken.
    pub async fn write(&mut self, mut piece: &[u8]) -> Result<()> {
        while !piece.is_empty() {
            let end = piece.len().min(CHUNK);
            let taken = match &mut self.target {
                Target::File(file) => file.write(&piece[..end]).await?,
                Target::Object(object) => object.write(&piece[..end]).await?,
            };
            let (written, rest) = piece.split_at(taken);
            self.hash.update(written);
            self.size += taken as u64;
            piece = rest;
        }
        Ok(())
    }

    /// Brings the content to its place, once all of it is safe. With `expected`, content of another digest is refused and
    /// nothing is stored.
    pub async fn finish(self, expected: Option<&Digest>) -> Result<Stored> {
        let Self { target, hash, size } = self;
        let digest = Digest::from_hash(&hash.finalize().into());
        if let Some(expected) = expected.filter(|&expected| *expected != digest) {
            return Err(Error::Mismatch { expected: expected.clone(), found: digest, size });
        }
        match target {
            Target::File(file) => file.publish(&digest).await?,
            Target::Object(object) => Box::pin(object.publish(&digest, size)).await?,
        }
        Ok(Stored { digest, size })
    }
}
