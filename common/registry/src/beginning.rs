//! The lower layers of an image as an image of their own.

use cutover_store::{Digest, Store};
use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::manifest::{Descriptor, InvalidManifest, LIMIT, MediaType};
use crate::{Error, Result};

/// An image that nobody runs. While a Docker Engine has it, it has these layers, whatever becomes of the pull of the whole.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) digest: Digest,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config_digest: Digest,
    pub(crate) config: Vec<u8>,
}

/// What matters of a config for the layers below it (OCI image specification, "Image Configuration").
#[derive(Serialize, Deserialize)]
struct Config {
    architecture: String,
    os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    #[serde(skip_deserializing)]
    config: Execution,
    rootfs: RootFs,
}

#[derive(Default, Serialize)]
struct Execution {
    #[serde(rename = "Labels")]
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct RootFs {
    r#type: String,
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestDocument<'a> {
    schema_version: u32,
    media_type: &'static str,
    config: Part<'a>,
    layers: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
}

impl<'a> From<&'a Descriptor> for Part<'a> {
    fn from(part: &'a Descriptor) -> Self {
        Self { media_type: &part.media_type, digest: &part.digest, size: part.size }
    }
}

impl Beginning {
    /// The lowest `layers` of `image`, as an image with that label. In the notation of Docker or OCI, as the image itself is.
    pub(crate) async fn of(
        store: &Store,
        image: &Image,
        media_type: MediaType,
        layers: usize,
        (label, value): (&str, &str),
    ) -> Result<Self> {
        let whole = store.get_bytes(&image.config.digest, LIMIT as u64).await?;
        let unreadable = |error: serde_json::Error| Error::NotAnImage {
            digest: image.config.digest.clone(),
            source: InvalidManifest::Unreadable(error),
        };
        let mut config: Config = serde_json::from_slice(&whole).map_err(unreadable)?;
        config.rootfs.diff_ids.truncate(layers);
        config.config.labels.insert(label.to_owned(), value.to_owned());
        let config = serde_json::to_vec(&config).map_err(unreadable)?;
        let config_digest = Digest::of(&config);
        let document = ManifestDocument {
            schema_version: 2,
            media_type: media_type.as_str(),
            config: Part {
                media_type: &image.config.media_type,
                digest: &config_digest,
                size: config.len() as u64,
            },
            layers: image.layers.iter().take(layers).map(Part::from).collect(),
        };
        let manifest = serde_json::to_vec(&document).map_err(unreadable)?;
        Ok(Self { digest: Digest::of(&manifest), manifest, config_digest, config })
    }
}
