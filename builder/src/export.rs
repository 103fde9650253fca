//! From the Docker Engine's own storage into the artifact store: the engine pushes to a registry inside this program.

use std::collections::HashMap;
use std::ops::Range;
use std::time::SystemTime;

use bollard::Docker;
use bollard::query_parameters::{ListImagesOptions, PushImageOptions, RemoveImageOptions, TagImageOptions};
use cutover_host::RemoteListener;
use cutover_registry::{Image, Platform, PushRegistry};
use cutover_store::Digest;
use futures_util::TryStreamExt;
use tokio::task::JoinSet;
use tokio::time::timeout;
use ulid::Ulid;

use crate::engine::failed_to;
use crate::image::is_absent;
use crate::{Engine, Error, ImageId, Result};

/// The ports that pushes are taken on. The Docker Engine remembers which layers a registry has by its address: at the
/// same one, a layer that was pushed before is neither compressed nor sent again, so each service has its own. They lie
/// below the range from which outgoing connections take theirs.
const PORTS: Range<u16> = 29_500..30_500;

/// The tag within the repository, which serves for one push.
const TAG: &str = "image";

/// An image that is in the artifact store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The digest of its manifest, or of its index.
    pub manifest: Digest,
    /// How many bytes it has in all: manifest, config and compressed layers.
    pub size: u64,
    /// How many bytes the Docker Engine sent: what the store didn't have.
    pub received: u64,
}

impl Engine {
    /// Brings the local image `image` into the artifact store, and nothing of it that is there already. `name`, the
    /// service's, shows in the Docker Engine's logs: lower-case letters, digits and single dashes.
    ///
    /// During the push, a port of 127.0.0.1 is open on the machine of the Docker Engine. It takes images for one repository, whose name can't be guessed.
    pub async fn export(&self, image: &ImageId, name: &str) -> Result<Exported> {
        let limit = self.limits.export;
        let exported = timeout(limit, self.push_to_store(image, name)).await;
        exported.map_err(|_| Error::TimedOut { action: "bring the image into the artifact store", limit })?
    }

    async fn push_to_store(&self, image: &ImageId, name: &str) -> Result<Exported> {
        // Where that port is taken, it is another one: then all layers are sent once more.
        let mut listener = self.host.listen_at(port_of(name)).await?;
        let port = listener.port();
        self.untag_left(port).await?;
        let repository = format!("cutover/{name}-{}", Ulid::generate().to_string().to_lowercase());
        let registry = PushRegistry::new(self.store.clone(), &repository);

        let tag = self.tag(image, &format!("127.0.0.1:{port}/{repository}")).await?;
        let pushed = tokio::select! {
            pushed = self.push(&tag.repository) => pushed,
            broken = serve(&mut listener, &registry) => Err(broken.into()),
        };
        let untagged = tag.remove().await;
        pushed.and(untagged)?;

        let manifest = registry.pushed(TAG).await;
        let manifest = manifest.ok_or_else(|| Error::NothingPushed { image: image.clone() })?;
        let size = Image::read(&self.store, &manifest, &self.platform().await?).await?.size();
        Ok(Exported { manifest, size, received: registry.traffic().received })
    }

    async fn push(&self, repository: &str) -> Result<()> {
        let options = PushImageOptions { tag: Some(TAG.to_owned()), ..Default::default() };
        let push = self.docker.push_image(repository, Some(options), None);
        push.try_for_each(|_| async { Ok(()) }).await.map_err(failed_to("push", repository))
    }

    /// Gives the image a name that says where to push it. An image that nobody has named keeps a name of its own:
    /// the Docker Engine deletes an image with its last one.
    async fn tag(&self, image: &ImageId, repository: &str) -> Result<TemporaryTag> {
        let known = image.to_string();
        let found = self.docker.inspect_image(&known).await.map_err(failed_to("inspect", &known))?;
        if found.repo_tags.unwrap_or_default().is_empty() {
            self.name(&known, "cutover/kept", image.digest().short()).await?;
        }
        self.name(&known, repository, TAG).await?;
        Ok(TemporaryTag { docker: Some(self.docker.clone()), repository: repository.to_owned() })
    }

    async fn name(&self, image: &str, repository: &str, tag: &str) -> Result<()> {
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        self.docker.tag_image(image, Some(options)).await.map_err(failed_to("tag", image))
    }

    /// Takes away the names that pushes have left whose program was killed: those that lead to `port`, which nobody else can
    /// be pushing to, and those that are older than a push may take.
    async fn untag_left(&self, port: u16) -> Result<()> {
        let filters = HashMap::from([("reference".to_owned(), vec![format!("127.0.0.1:*/*/*:{TAG}")])]);
        let options = ListImagesOptions { filters: Some(filters), ..Default::default() };
        let images = self.docker.list_images(Some(options)).await.map_err(failed_to("list", "images"))?;
        let (now, here) = (SystemTime::now(), format!("127.0.0.1:{port}/"));
        for name in images.iter().flat_map(|image| &image.repo_tags) {
            let Some(repository) = name.strip_suffix(&format!(":{TAG}")) else { continue };
            let began =
                repository.rsplit_once('-').and_then(|(_, id)| id.to_uppercase().parse::<Ulid>().ok());
            let age = began.and_then(|id| now.duration_since(id.datetime()).ok());
            let is_left = repository.starts_with(&here) || age.is_some_and(|age| age > self.limits.export);
            if repository.contains("/cutover/") && is_left {
                match untag(&self.docker, repository).await {
                    // Somebody else has done it.
                    Err(Error::Engine { source, .. }) if is_absent(&source) => {}
                    done => done?,
                }
            }
        }
        Ok(())
    }

    /// What the Docker Engine runs on, and so builds for.
    async fn platform(&self) -> Result<Platform> {
        let version = self.docker.version().await.map_err(failed_to("tell the platform of", "its images"))?;
        Ok(Platform::linux(version.arch.as_deref().unwrap_or("amd64")))
    }
}

/// The service's own port.
fn port_of(name: &str) -> u16 {
    let hash = name.bytes().fold(0_u16, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    PORTS.start + hash % (PORTS.end - PORTS.start)
}

/// Serves the registry until the listener breaks or the caller has enough; then every connection ends.
async fn serve(listener: &mut RemoteListener, registry: &PushRegistry) -> cutover_host::Error {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    let registry = registry.clone();
                    connections.spawn(async move { registry.serve_connection(stream).await });
                }
                Err(broken) => return broken,
            },
            Some(ended) = connections.join_next() => {
                if let Ok(Err(error)) = ended {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a push connection broke");
                }
            }
        }
    }
}

/// A name that an image has for the time of a push; taken away again also when the push is given up.
struct TemporaryTag {
    docker: Option<Docker>,
    repository: String,
}

impl TemporaryTag {
    async fn remove(mut self) -> Result<()> {
        match self.docker.take() {
            Some(docker) => untag(&docker, &self.repository).await,
            None => Ok(()),
        }
    }
}

impl Drop for TemporaryTag {
    fn drop(&mut self) {
        let Some(docker) = self.docker.take() else { return };
        let repository = std::mem::take(&mut self.repository);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { untag(&docker, &repository).await });
        }
    }
}

async fn untag(docker: &Docker, repository: &str) -> Result<()> {
    let name = format!("{repository}:{TAG}");
    let options = RemoveImageOptions { noprune: true, ..Default::default() };
    docker.remove_image(&name, Some(options), None).await.map_err(failed_to("untag", &name))?;
    Ok(())
}
