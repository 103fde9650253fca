//! An image in the artifact store.

use cutover_store::{Digest, Store};
use serde::Deserialize;

use crate::manifest::{Descriptor, LIMIT, Manifest, MediaType, Platform};
use crate::{Error, Result};

/// An image for one platform, all parts of which are in the artifact store.
#[derive(Debug, Clone)]
pub struct Image {
    /// What names the image: the digest of its index where it has one, otherwise of its manifest.
    pub digest: Digest,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Its config. On Docker's own image store, this is the id of the image.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
    pub(crate) media_type: MediaType,
    manifest_bytes: u64,
}

impl Image {
    /// Reads the image that `digest` names: a manifest, or an index that lists one for `platform`. An image of which a
    /// config or a layer is missing is an error.
    pub async fn read(store: &Store, digest: &Digest, platform: &Platform) -> Result<Self> {
        let manifest = match manifest(store, digest).await?.1 {
            Manifest::Image { .. } => digest.clone(),
            Manifest::Index { manifests, .. } => choose(digest, manifests, platform)?,
        };
        let (content_size, Manifest::Image { media_type, config, layers }) =
            self::manifest(store, &manifest).await?
        else {
            return Err(Error::NotAnImage { digest: manifest, source: crate::InvalidManifest::Ambiguous });
        };
        let manifest_bytes = content_size;
        let image = Self { digest: digest.clone(), manifest, config, layers, media_type, manifest_bytes };
        for part in image.parts() {
            if store.len(&part.digest).await? != Some(part.size) {
                return Err(Error::Incomplete { image: digest.clone(), part: part.digest.clone() });
            }
        }
        Ok(image)
    }

    /// Its config and its layers.
    pub fn parts(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// The digests of its layers as they are unpacked, the lowest first: what a host that has them knows them by.
    ///
    /// # Errors
    /// A config that can't be read.
    pub async fn diff_ids(&self, store: &Store) -> Result<Vec<String>> {
        Ok(self.config(store).await?.rootfs.diff_ids)
    }

    /// The user that it runs as; empty: it says none, and that is root.
    ///
    /// # Errors
    /// A config that can't be read.
    pub async fn user(&self, store: &Store) -> Result<String> {
        Ok(self.config(store).await?.config.user)
    }

    async fn config(&self, store: &Store) -> Result<Config> {
        let config = store.get_bytes(&self.config.digest, LIMIT as u64).await?;
        let unreadable = |error: serde_json::Error| Error::NotAnImage {
            digest: self.config.digest.clone(),
            source: error.into(),
        };
        serde_json::from_slice(&config).map_err(unreadable)
    }

    /// How much travels to a host that has nothing of it, in bytes.
    pub fn size(&self) -> u64 {
        self.manifest_bytes + self.parts().map(|part| part.size).sum::<u64>()
    }
}

/// What matters here of a config (OCI image specification, "Image Configuration").
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
    #[serde(default)]
    config: Execution,
}

#[derive(Default, Deserialize)]
struct Execution {
    #[serde(default, rename = "User")]
    user: String,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

async fn manifest(store: &Store, digest: &Digest) -> Result<(u64, Manifest)> {
    let content = store.get_bytes(digest, LIMIT as u64).await?;
    let manifest =
        Manifest::parse(&content).map_err(|source| Error::NotAnImage { digest: digest.clone(), source })?;
    Ok((content.len() as u64, manifest))
}

fn choose(image: &Digest, manifests: Vec<Descriptor>, wanted: &Platform) -> Result<Digest> {
    let suitable =
        |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|platform| platform.suits(wanted));
    if let Some(entry) = manifests.iter().find(suitable) {
        return Ok(entry.digest.clone());
    }
    let available = manifests.into_iter().filter_map(|entry| entry.platform).collect();
    Err(Error::NoSuchPlatform { image: image.clone(), wanted: wanted.clone(), available })
}
