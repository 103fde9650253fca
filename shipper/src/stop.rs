//! Containers end, and are removed.

use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptionsBuilder};
use cutover_fleet::{Container, Machine};
use futures_util::future::join_all;

use crate::Result;
use crate::container_spec::seconds;

/// How long Docker may take for a stop beyond the time that the container was given.
const MARGIN: Duration = Duration::from_secs(60);

/// Stops containers, all side by side, and removes them: each gets its stop signal, and is killed after `grace`; one that gets
/// no traffic, after the time that it was made with, as it may be at work that no other settings know of. What has
/// ended or gone by itself is done. Answers with their number; when some can't be removed, the others are nevertheless.
pub(crate) async fn stop_and_remove(
    machine: &Machine,
    containers: &[&Container],
    grace: Duration,
) -> Result<u32> {
    let docker = machine.docker().await?;
    let stopped = join_all(containers.iter().map(async |container| {
        let grace =
            if container.is_web() { grace } else { own_grace(machine, container).await?.unwrap_or(grace) };
        let docker = docker.clone().with_timeout(grace.saturating_add(MARGIN));
        let options = StopContainerOptionsBuilder::default().t(seconds(grace)).build();
        let stopped = docker.stop_container(&container.id, Some(options)).await;
        unless_gone(stopped).map_err(machine.host().docker_failed(format!("stopping {}", container.name)))?;
        remove_now(machine, &docker, &container.id, &container.name).await
    }));
    stopped.await.into_iter().try_fold(0, |sum, removed| removed.map(|()| sum + 1))
}

/// How long a container has between the stop signal and the kill, as it was made; none: nobody has said, or it is gone.
async fn own_grace(machine: &Machine, container: &Container) -> Result<Option<Duration>> {
    Ok(machine.condition(&container.id).await?.and_then(|condition| condition.stop_timeout))
}

/// Removes a container with its anonymous volumes; one that runs is killed.
pub(crate) async fn remove_now(machine: &Machine, docker: &Docker, id: &str, name: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let removed = docker.remove_container(id, Some(options)).await;
    Ok(unless_gone(removed).map_err(machine.host().docker_failed(format!("removing {name}")))?)
}

/// 404: it is gone. 409: somebody else is removing it.
fn unless_gone(
    result: std::result::Result<(), bollard::errors::Error>,
) -> std::result::Result<(), bollard::errors::Error> {
    match result {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        result => result,
    }
}
