//! Whether all of an image is in the artifact store.

use cutover_store::{Digest, Store};

use crate::manifest::{LIMIT, Manifest};
use crate::{Error, Result};

/// Whether the image that `digest` names is in the store with its config and all of its layers. Of an index that holds for at
/// least one of its images, and for each whose manifest is there: a Docker Engine pushes those that it has.
pub async fn is_whole(store: &Store, digest: &Digest) -> Result<bool> {
    if !store.contains(digest).await? {
        return Ok(false);
    }
    let manifests = match manifest(store, digest).await? {
        Manifest::Image { config, layers, .. } => {
            for part in std::iter::once(&config).chain(&layers) {
                if store.len(&part.digest).await? != Some(part.size) {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        Manifest::Index { manifests, .. } => manifests,
    };
    let mut any = false;
    for image in manifests {
        if store.contains(&image.digest).await? {
            any = true;
            if !Box::pin(is_whole(store, &image.digest)).await? {
                return Ok(false);
            }
        }
    }
    Ok(any)
}

async fn manifest(store: &Store, digest: &Digest) -> Result<Manifest> {
    let content = store.get_bytes(digest, LIMIT as u64).await?;
    Manifest::parse(&content).map_err(|source| Error::NotAnImage { digest: digest.clone(), source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn descriptor(kind: &str, content: &[u8]) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, Digest::of(content), content.len())
    }

    fn image(config: &[u8], layer: &[u8]) -> Vec<u8> {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let (config, layer) = (descriptor("config", config), descriptor("layer", layer));
        format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layer}]}}"#)
            .into_bytes()
    }

    #[tokio::test]
    async fn every_part_of_an_image_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let (one, other) = (image(b"config", b"layer"), image(b"config", b"absent"));
        assert!(!is_whole(&store, &Digest::of(&one)).await.unwrap());
        for content in [one.as_slice(), b"config", &other] {
            store.put_bytes(content).await.unwrap();
        }
        assert!(!is_whole(&store, &Digest::of(&one)).await.unwrap());
        store.put_bytes(b"layer").await.unwrap();
        assert!(is_whole(&store, &Digest::of(&one)).await.unwrap());
        assert!(!is_whole(&store, &Digest::of(&other)).await.unwrap());

        let kind = "application/vnd.oci.image.manifest.v1+json";
        for (images, whole) in [
            (vec![descriptor(kind, &one), descriptor(kind, b"never pushed")], true),
            (vec![descriptor(kind, &one), descriptor(kind, &other)], false),
            (vec![descriptor(kind, b"never pushed")], false),
        ] {
            let list = images.join(",");
            let index = format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{list}]}}"#
            );
            let index = store.put_bytes(index.as_bytes()).await.unwrap();
            assert_eq!(is_whole(&store, &index).await.unwrap(), whole, "{list}");
        }
    }
}
