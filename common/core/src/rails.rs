//! A Rails application's own migrations, as a release has them run.

use serde::{Deserialize, Serialize};

/// How the migrations of a release are run by its own Rails, in a container of its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rails {
    /// The command in the image that runs a task of Rails; which one is added behind it.
    pub command: Vec<String>,
}

impl Default for Rails {
    fn default() -> Self {
        Self { command: vec!["bin/rails".to_owned()] }
    }
}
