//! What a model is made of in the artifact store.

use std::collections::BTreeSet;

use cutover_core::Digest;
use cutover_model::{MAX_MANIFEST, Manifest};
use cutover_store::Store;

use crate::{Error, Result};

/// The manifest of a version, and the chunks that it names. One that isn't stored has nothing.
///
/// # Errors
/// A store that can't be read, and a manifest that is none: nothing is known of the model then, so nothing may be removed that could
/// belong to it.
pub(crate) async fn model_contents(store: &Store, version: &Digest) -> Result<BTreeSet<Digest>> {
    let manifest = match store.get_bytes(version, MAX_MANIFEST as u64).await {
        Ok(manifest) => manifest,
        Err(cutover_store::Error::NotFound { .. }) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.into()),
    };
    let manifest =
        Manifest::parse(&manifest).map_err(|source| Error::NotAModel { version: version.clone(), source })?;
    let chunks = manifest.chunks();
    let chunks = chunks.iter().filter_map(|chunk| format!("sha256:{}", chunk.sha256).parse().ok());
    Ok(chunks.chain([version.clone()]).collect())
}
