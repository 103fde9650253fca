//! Versions that are in the store already.

use cutover_model::{MAX_MANIFEST, Manifest};
use cutover_store::{Digest, Store};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{Error, Result};

/// How many chunks are asked for at once.
const AT_ONCE: usize = 16;

/// Whether the store has all of a version, each chunk with its length. All of it is young from then on: it stays until the journal names it.
///
/// # Errors
/// A store that can't be read, and a manifest that is none. One that is damaged is as good as none, and no error.
pub async fn renew(store: &Store, version: &Digest) -> Result<bool> {
    if store.renew(version).await?.is_none() {
        return Ok(false);
    }
    let manifest = match store.get_bytes(version, MAX_MANIFEST as u64).await {
        Err(cutover_store::Error::Corrupt { .. }) => return Ok(false),
        manifest => manifest?,
    };
    let wrong = |source| Error::Manifest { place: format!("version {}", version.short()), source };
    let manifest = Manifest::parse(&manifest).map_err(wrong)?;
    let chunks = manifest.chunks();
    let wanted = chunks.iter().filter_map(|chunk| {
        Some((format!("sha256:{}", chunk.sha256).parse::<Digest>().ok()?, u64::from(chunk.size)))
    });
    let renewed = stream::iter(wanted)
        .map(|(digest, size)| async move { Ok::<_, Error>(store.renew(&digest).await? == Some(size)) });
    renewed.buffer_unordered(AT_ONCE).try_all(|is_there| async move { is_there }).await
}
