//! The image of an accessory on a host.

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use cutover_core::{Accessory, with_tag};
use cutover_fleet::Machine;
use cutover_secrets::Values;
use futures_util::TryStreamExt;

use super::Error;

/// How long Docker may be silent while it pulls.
const SILENCE: Duration = Duration::from_secs(600);

/// Whether the host has it already.
pub(super) async fn is_there(machine: &Machine, accessory: &Accessory) -> Result<bool, Error> {
    match machine.docker().await?.inspect_image(&accessory.image).await {
        Ok(_) => Ok(true),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        Err(error) => {
            let doing = format!("looking for the image {}", accessory.image);
            Err(machine.host().docker_failed(doing)(error).into())
        }
    }
}

/// Has the host's Docker pull it from its registry, whose password lives as long as the pull.
pub(super) async fn pull(machine: &Machine, accessory: &Accessory, values: &Values) -> Result<(), Error> {
    let mut credentials = None;
    if let Some(login) = &accessory.registry {
        let password = values.resolve(&login.password).await.map_err(|source| {
            cutover_fleet::Error::Secret { variable: "registry.password".to_owned(), source }
        })?;
        credentials = Some(DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(password.expose().to_owned()),
            serveraddress: Some(login.server.clone()),
            ..DockerCredentials::default()
        });
    }
    let options = CreateImageOptions { from_image: Some(with_tag(&accessory.image)), ..Default::default() };
    let docker = machine.docker().await?.with_timeout(SILENCE);
    let pulled = docker.create_image(Some(options), None, credentials).try_for_each(|_| async { Ok(()) });
    pulled.await.map_err(|error| Error::Image {
        name: accessory.name.to_string(),
        image: accessory.image.clone(),
        host: machine.name().clone(),
        source: Box::new(machine.host().docker_failed("pulling")(error)),
    })
}
