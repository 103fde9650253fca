//! All that belongs to an image.

use std::collections::BTreeSet;

use cutover_store::{Digest, Store};

use crate::manifest::{LIMIT, Manifest};
use crate::{Error, Result};

/// What is to be kept so that the image which `image` names stays whole, for all platforms: its manifest or index, and all that
/// these name, whether it is there or not. An image that isn't there has nothing but its name.
///
/// # Errors
/// A store that can't be read, a manifest that is corrupt, or one that is none: nothing is known of the image then, so nothing may
/// be removed that could belong to it.
pub async fn contents(store: &Store, image: &Digest) -> Result<BTreeSet<Digest>> {
    let (mut all, mut unread) = (BTreeSet::from([image.clone()]), vec![image.clone()]);
    while let Some(digest) = unread.pop() {
        let content = match store.get_bytes(&digest, LIMIT as u64).await {
            Ok(content) => content,
            // An index may list platforms that nobody has sent.
            Err(cutover_store::Error::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let manifest = Manifest::parse(&content)
            .map_err(|source| Error::NotAnImage { digest: digest.clone(), source })?;
        match manifest {
            Manifest::Image { config, layers, .. } => {
                all.extend(std::iter::once(config).chain(layers).map(|part| part.digest));
            }
            Manifest::Index { manifests, .. } => {
                let new = manifests.into_iter().map(|child| child.digest);
                unread.extend(new.filter(|child| all.insert(child.clone())));
            }
        }
    }
    Ok(all)
}
