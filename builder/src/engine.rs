//! The Docker Engine that builds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use cutover_host::Host;
use cutover_store::{Digest, Store};

use crate::{Error, Result};

/// How long the parts of making an image may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A build. One hour by default.
    pub build: Duration,
    /// The pull of an existing image. Half an hour by default.
    pub pull: Duration,
    /// The way of an image into the artifact store. Half an hour by default.
    pub export: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self { build: minutes(60), pull: minutes(30), export: minutes(30) }
    }
}

/// The id of an image in its Docker Engine: the digest of its config, or, on the containerd image store, of its
/// manifest or index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageId(Digest);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ImageId {
    /// It as a digest.
    pub fn digest(&self) -> &Digest {
        &self.0
    }
}

/// Which Docker Engine it is, as it says itself.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its id, which it has made once and keeps.
    pub(crate) id: String,
    /// The host name of its machine.
    pub(crate) machine: String,
    pub(crate) version: String,
}

/// The Docker Engine of a host, and the store that its images go to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) docker: Docker,
    pub(crate) host: Arc<Host>,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
}

impl Engine {
    /// Connects to the Docker Engine of `host`: this machine, or one behind SSH, and then all that a build needs goes over
    /// that one connection. Contexts are read from `store` and images go there. The API version is agreed upon: 1.41
    /// (Docker 20.10) and later.
    pub async fn connect(host: Arc<Host>, store: Store, limits: Limits) -> Result<Self> {
        Ok(Self { docker: host.docker().await?, host, store, limits })
    }

    /// Which Engine it is.
    pub(crate) async fn identity(&self) -> Result<Identity> {
        let found = self.docker.info().await.map_err(failed_to("tell who makes", "its images"))?;
        Ok(Identity {
            id: found.id.unwrap_or_default(),
            machine: found.name.unwrap_or_default(),
            version: found.server_version.unwrap_or_default(),
        })
    }

    /// The id of the image that is locally known as `image`.
    pub(crate) async fn id_of(&self, image: &str) -> Result<ImageId> {
        let found = self.docker.inspect_image(image).await.map_err(failed_to("inspect", image))?;
        id(image, found.id)
    }
}

/// Reads an id as the Docker Engine gives it.
pub(crate) fn id(image: &str, id: Option<String>) -> Result<ImageId> {
    let digest = id.and_then(|id| id.parse().ok());
    digest.map(ImageId).ok_or_else(|| Error::NoImageId { image: image.to_owned() })
}

/// Says what the Docker Engine was asked to do when it refused.
pub(crate) fn failed_to(action: &'static str, image: &str) -> impl FnOnce(bollard::errors::Error) -> Error {
    move |source| Error::Engine { action, image: image.to_owned(), source }
}
