use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutover_control::Refusal;
use tokio::task::spawn_blocking;

use crate::control::store::{replace, state_error};

/// A file of ours among the other proxy's configuration: replaced as a whole, durable once written.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile {
    path: Arc<Path>,
}

impl ConfigFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: path.into() }
    }

    /// What it holds; none: it isn't there.
    ///
    /// # Errors
    ///
    /// [`Refusal::Storage`].
    pub(super) async fn read(&self) -> Result<Option<Vec<u8>>, Refusal> {
        match tokio::fs::read(&self.path).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(state_error("reading", &self.path, source).into()),
        }
    }

    /// # Errors
    ///
    /// [`Refusal::Storage`].
    pub(super) async fn write(&self, text: Vec<u8>) -> Result<(), Refusal> {
        let path = Arc::clone(&self.path);
        let written =
            spawn_blocking(move || replace(&path, &text)).await.unwrap_or_else(|error| Err(error.into()));
        written.map_err(|source| state_error("writing", &self.path, source).into())
    }

    /// What it held before, again.
    pub(super) async fn put_back(&self, before: Option<Vec<u8>>) {
        let put = match before {
            Some(before) => self.write(before).await,
            None => {
                let removed = tokio::fs::remove_file(&self.path).await;
                removed.map_err(|source| state_error("removing", &self.path, source).into())
            }
        };
        if let Err(refusal) = put {
            tracing::error!(%refusal, "the configuration before could not be put back");
        }
    }
}
