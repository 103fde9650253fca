//! Content on its way in.

use std::io;
use std::path::{Path, PathBuf};

use cutover_core::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

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
    file: File,
    path: TempPath,
    blobs: PathBuf,
    hash: Sha256,
    size: u64,
}

impl Upload {
    pub(crate) fn new(file: File, path: TempPath, blobs: PathBuf) -> Self {
        Self { file, path, blobs, hash: Sha256::new(), size: 0 }
    }

    /// How much has come so far, in bytes: where the next piece goes on.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a piece. Cancel safe: [`size`](Self::size) says how much of it was taken.
    pub async fn write(&mut self, mut piece: &[u8]) -> Result<()> {
        while !piece.is_empty() {
            let end = piece.len().min(CHUNK);
            let taken = self.file.write(&piece[..end]).await.map_err(Error::io("write to", &self.path))?;
            let (written, rest) = piece.split_at(taken);
            self.hash.update(written);
            self.size += taken as u64;
            piece = rest;
        }
        Ok(())
    }

    /// Moves the content to its place, once it is on the disk. With `expected`, content of another digest is refused
    /// and nothing is stored.
    pub async fn finish(mut self, expected: Option<&Digest>) -> Result<Stored> {
        let found = Digest::from_hash(&self.hash.finalize().into());
        if let Some(expected) = expected.filter(|&expected| *expected != found) {
            return Err(Error::Mismatch { expected: expected.clone(), found, size: self.size });
        }
        self.file.flush().await.map_err(Error::io("write to", &self.path))?;
        self.file.sync_all().await.map_err(Error::io("flush to disk", &self.path))?;
        let place = self.blobs.join(found.hex());
        let moved = {
            let place = place.clone();
            spawn_blocking(move || publish(self.path, &place, &self.blobs))
                .await
                .map_err(io::Error::from)
                .flatten()
        };
        moved.map_err(Error::io("move an upload to", &place))?;
        Ok(Stored { digest: found, size: self.size })
    }
}

/// Renames a finished file to its place and makes the name durable too: after a power cut either all of it is there or
/// nothing (rename(2), fsync(2): the folder has to be flushed by itself).
fn publish(file: TempPath, place: &Path, folder: &Path) -> io::Result<()> {
    file.persist(place)?;
    std::fs::File::open(folder)?.sync_all()
}
