//! The Docker Engine that builds.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use cutover_store::{Digest, Store};

use crate::{Error, Result};

/// How long the Docker Engine may take to answer a single request, in seconds.
const REQUEST_SECONDS: u64 = 120;

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

/// The Docker Engine on this machine, and the store that its images go to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) docker: Docker,
    pub(crate) socket: PathBuf,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
}

impl Engine {
    /// Connects to the Docker Engine that listens on the unix socket `socket`. Contexts are read from `store` and
    /// images go there. The API version is agreed upon: 1.41 (Docker 20.10) and later.
    pub async fn connect(socket: impl Into<PathBuf>, store: Store, limits: Limits) -> Result<Self> {
        let socket = socket.into();
        let docker = match open(&socket) {
            Ok(docker) => docker.negotiate_version().await,
            Err(source) => Err(source),
        };
        match docker {
            Ok(docker) => Ok(Self { docker, socket, store, limits }),
            Err(source) => Err(Error::NoEngine { socket, source }),
        }
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

fn open(socket: &Path) -> std::result::Result<Docker, bollard::errors::Error> {
    Docker::connect_with_unix(&socket.to_string_lossy(), REQUEST_SECONDS, API_DEFAULT_VERSION)
}
