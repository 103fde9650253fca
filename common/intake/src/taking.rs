//! One model is taken into the store.

use bytes::Bytes;
use cutover_model::{Chunk, Manifest, ModelFile, Sum, Summing};
use cutover_store::{Digest, Store};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use tokio::io::AsyncRead;

use crate::chunker::Chunker;
use crate::{Error, Result};

/// How many chunks are on their way into the store at once.
const AT_ONCE: usize = 8;

/// A model that is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its version: the digest of its manifest.
    pub version: Digest,
    /// The length of its files together, in bytes.
    pub size: u64,
    /// How much of that the store didn't have, in bytes.
    pub new: u64,
}

/// A model whose files come one after the other.
#[derive(Debug)]
pub struct Taking<'a> {
    store: Option<&'a Store>,
    files: Vec<ModelFile>,
    new: u64,
}

impl<'a> Taking<'a> {
    /// Into `store`; without one, it is only looked at what the version would be.
    pub const fn into(store: Option<&'a Store>) -> Self {
        Self { store, files: Vec::new(), new: 0 }
    }

    /// Takes in the file that is to be at `path` in the model; `place` is where it comes from, for people. `tell` hears of all
    /// that is read, in bytes.
    ///
    /// # Errors
    /// Content that can't be read to its end; a store that fails.
    pub async fn file(
        &mut self,
        path: String,
        place: &str,
        content: impl AsyncRead + Unpin,
        mut tell: impl FnMut(u64),
    ) -> Result<()> {
        let (mut chunker, mut summing, mut size) = (Chunker::new(content), Summing::default(), 0);
        let mut storing: FuturesOrdered<BoxFuture<'_, Result<(Chunk, bool)>>> = FuturesOrdered::new();
        let mut chunks = Vec::new();
        loop {
            let read = chunker.next().await;
            let read = read.map_err(|source| Error::Read { place: place.to_owned(), source })?;
            if let Some(content) = &read {
                summing.add(content);
                size += content.len() as u64;
                tell(content.len() as u64);
            }
            let is_last = read.is_none();
            storing.extend(read.map(|content| store(self.store, content).boxed()));
            while storing.len() >= AT_ONCE || is_last && !storing.is_empty() {
                let Some(stored) = storing.next().await else { break };
                let (chunk, is_new) = stored?;
                self.new += if is_new { u64::from(chunk.size) } else { 0 };
                chunks.push(chunk);
            }
            if is_last {
                break;
            }
        }
        self.files.push(ModelFile { path, size, sha256: summing.sum(), chunks });
        Ok(())
    }

    /// The sum of the file that came last.
    pub(crate) fn last(&self) -> Option<Sum> {
        self.files.last().map(|file| file.sha256)
    }

    /// Stores the manifest: the model is there from then on. `place` is where it comes from, for people.
    ///
    /// # Errors
    /// Files that make no model; a store that fails.
    pub async fn finish(self, place: &str) -> Result<Taken> {
        let wrong = |source| Error::Manifest { place: place.to_owned(), source };
        let manifest = Manifest::new(self.files).map_err(wrong)?;
        let bytes = manifest.to_bytes().map_err(wrong)?;
        let version = match self.store {
            Some(store) => store.put_bytes(&bytes).await?,
            None => Digest::of(&bytes),
        };
        Ok(Taken { version, size: manifest.size(), new: self.new })
    }
}

/// Stores a chunk, and answers whether it wasn't there. What is there is made young by the question; what is there with another
/// length is damaged, and stored anew.
async fn store(store: Option<&Store>, content: Bytes) -> Result<(Chunk, bool)> {
    let digest = Digest::of(&content);
    let mut is_new = false;
    if let Some(store) = store {
        is_new = store.renew(&digest).await? != Some(content.len() as u64);
        if is_new {
            store.put_bytes(&content).await?;
        }
    }
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
    Ok((Chunk { sha256: sum_of(&digest, &content), size }, is_new))
}

/// The same sum in the manifest's notation.
fn sum_of(digest: &Digest, content: &[u8]) -> Sum {
    digest.hex().parse().unwrap_or_else(|_| Sum::of(content))
}
