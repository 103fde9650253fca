//! An image's way through a registry: it is put there once, and each host's Docker pulls it.

use std::convert::Infallible;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use cutover_core::{Progress, Repository};
use cutover_fleet::{ImageName, Machine};
use cutover_registry::{Image, Remote};
use cutover_secrets::{Secret, Values};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::pull::{Fetched, Names, fetch};
use crate::{Error, Origin, Result};

/// From one look at what has been sent to the next.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Puts `image` into the repository, unless it is there, and has the host's Docker pull it under its name. Answers with the
/// bytes that the host has downloaded. The password is handed to Docker for this pull; nothing of it stays on the host.
pub(crate) async fn pull(
    machine: &Machine,
    origin: &Origin,
    (repository, values): (&Repository, &Values),
    image: &Image,
    name: &ImageName,
    progress: &watch::Sender<Progress>,
) -> Result<u64> {
    let login = &repository.registry;
    let password = values.resolve(&login.password).await;
    let password = password.map_err(|source| cutover_fleet::Error::Secret {
        variable: "registry.password".to_owned(),
        source,
    })?;
    publish(origin, repository, password.clone(), image, progress).await?;
    let credentials = DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(password.expose().to_owned()),
        serveraddress: Some(login.server.clone()),
        ..DockerCredentials::default()
    };
    let names = Names { pulled: repository.image(&image.manifest), own: name };
    let Fetched { bytes, name } = fetch(machine, image, names, Some(credentials), Some(progress)).await?;
    name.remove().await;
    Ok(bytes)
}

async fn publish(
    origin: &Origin,
    repository: &Repository,
    password: Secret,
    image: &Image,
    progress: &watch::Sender<Progress>,
) -> Result<()> {
    let failed = |source| Error::Publish {
        image: image.digest.clone(),
        repository: repository.name(),
        source: Box::new(source),
    };
    let remote = Remote::new(repository, password).map_err(failed)?;
    let _alone = origin.publishing.lock().await;
    tokio::select! {
        put = remote.put(&origin.store, image, &origin.pace) => put.map_err(failed),
        never = report(&remote, progress) => match never {},
    }
}

/// Says how much has been sent to the registry, of what it lacks.
async fn report(remote: &Remote, progress: &watch::Sender<Progress>) -> Infallible {
    loop {
        sleep(REPORT_EVERY).await;
        let traffic = remote.traffic();
        progress.send_replace(Progress::Bytes { done: traffic.sent, total: traffic.promised });
    }
}
