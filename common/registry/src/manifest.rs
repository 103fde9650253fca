//! Image manifests and indexes, in OCI's notation and in Docker's.

use std::fmt;

use cutover_store::Digest;
use serde::Deserialize;

/// The largest manifest that is taken or read, in bytes (OCI distribution specification, "Pushing Manifests").
pub(crate) const LIMIT: usize = 4 * 1024 * 1024;

/// A reference to content by digest (OCI image specification, "Content Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of content it is; an open set.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// For a manifest in an index: what it runs on.
    pub platform: Option<Platform>,
}

/// What an image runs on, in Go's words: `linux`, `amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The processor architecture.
    pub architecture: String,
    /// The variant of the architecture, such as `v8`.
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on `architecture`, whichever variant.
    pub fn linux(architecture: &str) -> Self {
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Whether an image for this platform runs on `wanted`.
    pub(crate) fn suits(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && wanted.variant.as_ref().is_none_or(|variant| self.variant.as_ref() == Some(variant))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// The media types that a manifest may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum MediaType {
    OciManifest,
    OciIndex,
    DockerManifest,
    DockerManifestList,
}

impl MediaType {
    const ALL: [Self; 4] =
        [Self::OciManifest, Self::OciIndex, Self::DockerManifest, Self::DockerManifestList];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerManifestList => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }
}

impl TryFrom<String> for MediaType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| format!("media type {text} is not supported"))
    }
}

/// Why some content is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// It is no JSON document of the right shape.
    #[error("it can't be read")]
    Unreadable(#[from] serde_json::Error),
    /// It is neither an image nor an index, or claims to be both. Both at once is how one document is made to mean two
    /// images (CVE-2021-41190).
    #[error("it must have either a config and layers or a list of manifests, as its media type says")]
    Ambiguous,
}

/// A manifest, read.
#[derive(Debug)]
pub(crate) enum Manifest {
    Image { media_type: MediaType, config: Descriptor, layers: Vec<Descriptor> },
    Index { media_type: MediaType, manifests: Vec<Descriptor> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<MediaType>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Manifest {
    /// Reads a manifest of any of the supported types. Without a `mediaType` of its own it is an OCI document (Docker's
    /// always have one).
    pub(crate) fn parse(content: &[u8]) -> Result<Self, InvalidManifest> {
        let document: Document = serde_json::from_slice(content)?;
        match document {
            Document { media_type, config: Some(config), layers: Some(layers), manifests: None } => {
                let media_type = media_type.unwrap_or(MediaType::OciManifest);
                (!media_type.is_index()).then_some(Self::Image { media_type, config, layers })
            }
            Document { media_type, config: None, layers: None, manifests: Some(manifests) } => {
                let media_type = media_type.unwrap_or(MediaType::OciIndex);
                media_type.is_index().then_some(Self::Index { media_type, manifests })
            }
            _ => None,
        }
        .ok_or(InvalidManifest::Ambiguous)
    }

    pub(crate) fn media_type(&self) -> MediaType {
        match self {
            Self::Image { media_type, .. } | Self::Index { media_type, .. } => *media_type,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor() -> String {
        format!(r#"{{"mediaType":"application/octet-stream","digest":"{DIGEST}","size":0}}"#)
    }

    #[test]
    fn an_image_without_a_media_type_is_an_oci_one() {
        let text = format!(r#"{{"schemaVersion":2,"config":{0},"layers":[{0}]}}"#, descriptor());
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.media_type(), MediaType::OciManifest);
        assert!(matches!(manifest, Manifest::Image { layers, .. } if layers.len() == 1));
    }

    #[test]
    fn a_document_that_is_two_things_is_neither() {
        let both = format!(r#"{{"config":{0},"layers":[{0}],"manifests":[{0}]}}"#, descriptor());
        assert!(matches!(Manifest::parse(both.as_bytes()), Err(InvalidManifest::Ambiguous)));
        let index = MediaType::OciIndex.as_str();
        let lying = format!(r#"{{"mediaType":"{index}","config":{0},"layers":[{0}]}}"#, descriptor());
        assert!(matches!(Manifest::parse(lying.as_bytes()), Err(InvalidManifest::Ambiguous)));
    }

    #[test]
    fn docker_schema_1_is_refused() {
        let text =
            r#"{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+json"}"#;
        assert!(matches!(Manifest::parse(text.as_bytes()), Err(InvalidManifest::Unreadable(_))));
    }

    #[test]
    fn a_variant_matters_only_where_one_is_wanted() {
        let v8 = Platform { variant: Some("v8".to_owned()), ..Platform::linux("arm64") };
        assert!(v8.suits(&Platform::linux("arm64")));
        assert!(!Platform::linux("arm64").suits(&v8));
        assert!(!v8.suits(&Platform::linux("amd64")));
        assert_eq!(v8.to_string(), "linux/arm64/v8");
    }
}
