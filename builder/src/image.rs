//! An image that needs no build.

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use cutover_core::{PrivateImage, with_tag};
use cutover_secrets::Values;
use futures_util::TryStreamExt;
use tokio::time::timeout;

use crate::buildkit::password;
use crate::engine::{failed_to, id};
use crate::{Engine, Error, ImageId, Result};

const NOT_FOUND: u16 = 404;

impl Engine {
    /// The image that `reference` names: the local one, or, where there is none, what its registry has. Without a tag,
    /// `latest` is meant.
    pub async fn existing(&self, reference: &str) -> Result<ImageId> {
        self.found(reference, None).await
    }

    /// The same, where the registry asks for a password.
    pub async fn existing_private(&self, source: &PrivateImage, values: &Values) -> Result<ImageId> {
        let PrivateImage { image, registry } = source;
        let credentials = DockerCredentials {
            username: Some(registry.username.clone()),
            password: Some(password(registry, values).await?.expose().to_owned()),
            serveraddress: Some(registry.server.clone()),
            ..DockerCredentials::default()
        };
        self.found(image, Some(credentials)).await
    }

    async fn found(&self, reference: &str, credentials: Option<DockerCredentials>) -> Result<ImageId> {
        match self.docker.inspect_image(reference).await {
            Ok(found) => id(reference, found.id),
            Err(source) if is_absent(&source) => self.pull(reference, credentials).await,
            Err(source) => Err(failed_to("inspect", reference)(source)),
        }
    }

    async fn pull(&self, reference: &str, credentials: Option<DockerCredentials>) -> Result<ImageId> {
        let options = CreateImageOptions { from_image: Some(with_tag(reference)), ..Default::default() };
        let pull =
            self.docker.create_image(Some(options), None, credentials).try_for_each(|_| async { Ok(()) });
        let pulled = timeout(self.limits.pull, pull).await;
        match pulled.map_err(|_| Error::TimedOut { action: "pull the image", limit: self.limits.pull })? {
            Ok(()) => self.id_of(reference).await,
            Err(source) if is_absent(&source) => {
                Err(Error::NoSuchImage { reference: reference.to_owned(), source })
            }
            Err(source) => Err(failed_to("pull", reference)(source)),
        }
    }
}

/// Whether the Docker Engine has no such image.
pub(crate) fn is_absent(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: NOT_FOUND, .. })
}
