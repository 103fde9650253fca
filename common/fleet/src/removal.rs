//! Containers end, are started anew, and are removed.

use std::time::Duration;

use bollard::query_parameters::{
    RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
};

use crate::{Error, Machine};

/// How long Docker may take for a stop beyond the time that the container was given.
const MARGIN: Duration = Duration::from_secs(60);

impl Machine {
    /// Stops a container: it gets its stop signal, and is killed after `grace`. One that has ended or gone by itself is stopped.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn stop(&self, id: &str, name: &str, grace: Duration) -> Result<(), Error> {
        let docker = self.docker().await?.with_timeout(grace.saturating_add(MARGIN));
        let options = StopContainerOptionsBuilder::default().t(stop_seconds(grace)).build();
        let stopped = docker.stop_container(id, Some(options)).await;
        Ok(unless_gone(stopped).map_err(self.host().docker_failed(format!("stopping {name}")))?)
    }

    /// Starts a container anew: it gets its stop signal, and is killed after `grace`, before it starts.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached; a container that is gone, or doesn't start.
    pub async fn restart(&self, id: &str, name: &str, grace: Duration) -> Result<(), Error> {
        let docker = self.docker().await?.with_timeout(grace.saturating_add(MARGIN));
        let options = RestartContainerOptionsBuilder::default().t(stop_seconds(grace)).build();
        let restarted = docker.restart_container(id, Some(options)).await;
        Ok(restarted.map_err(self.host().docker_failed(format!("starting {name} anew")))?)
    }

    /// Removes a container with its anonymous volumes; one that runs is killed.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn remove(&self, id: &str, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = self.docker().await?.remove_container(id, Some(options)).await;
        Ok(unless_gone(removed).map_err(self.host().docker_failed(format!("removing {name}")))?)
    }
}

/// 404: it is gone. 409: somebody else is removing it.
fn unless_gone(result: Result<(), bollard::errors::Error>) -> Result<(), bollard::errors::Error> {
    match result {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        result => result,
    }
}

/// Whole seconds as Docker takes them for a stop, rounded up: a shorter wait than asked for would kill.
pub fn stop_seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}
