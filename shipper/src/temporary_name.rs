//! The name by which a host's Docker pulls an image.

use bollard::Docker;
use bollard::query_parameters::RemoveImageOptionsBuilder;

/// A name that an image has for the time of a pull: it holds a port that nobody listens on afterwards. Taken away again
/// also when the pull is given up.
pub(crate) struct TemporaryName {
    docker: Docker,
    name: Option<String>,
}

impl TemporaryName {
    pub(crate) fn new(docker: &Docker, name: String) -> Self {
        Self { docker: docker.clone(), name: Some(name) }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Takes it away. The image has a name of its own by then, so a failure to do so is said and nothing more.
    pub(crate) async fn remove(mut self) {
        remove(&self.docker, self.as_str()).await;
        self.name = None;
    }
}

impl Drop for TemporaryName {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let docker = self.docker.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { remove(&docker, &name).await });
        }
    }
}

async fn remove(docker: &Docker, name: &str) {
    let options = RemoveImageOptionsBuilder::default().noprune(true).build();
    match docker.remove_image(name, Some(options), None).await {
        // A pull that was given up has left no such name.
        Ok(_) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => tracing::warn!(name, %error, "the name of a pull was left behind"),
    }
}
