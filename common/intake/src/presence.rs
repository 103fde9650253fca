//! Versions that are in the store already.

use cutover_model::{MAX_MANIFEST, Manifest};
use cutover_store::{Digest, Store};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{Error, Result};

/// How many chunks are asked for at once.
const AT_ONCE: usize = 16;

/// Whether the store has all of a version. All of it is young from then on: it stays until the journal names it.
///
/// # Errors
/// A store that can't be read, and a manifest that is none.
pub async fn renew(store: &Store, version: &Digest) -> Result<bool> {
    if store.renew(version).await?.is_none() {
        return Ok(false);
    }
    let manifest = store.get_bytes(version, MAX_MANIFEST as u64).await?;
    let wrong = |source| Error::Manifest { place: format!("version {}", version.short()), source };
    let manifest = Manifest::parse(&manifest).map_err(wrong)?;
    let chunks = manifest.chunks();
    let digests = chunks.iter().filter_map(|chunk| format!("sha256:{}", chunk.sha256).parse::<Digest>().ok());
    let renewed = stream::iter(digests).map(|digest| async move { store.renew(&digest).await });
    renewed
        .buffer_unordered(AT_ONCE)
        .try_all(|found| async move { found.is_some() })
        .await
        .map_err(Error::from)
}
