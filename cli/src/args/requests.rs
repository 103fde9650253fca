//! Options of the commands about requests for deployments.

use std::path::PathBuf;

/// Options of `serve`.
#[derive(clap::Args, Debug)]
pub(crate) struct Serve {
    /// The file that says which repository each service comes from
    #[arg(long, env = "CUTOVER_REPOSITORIES", value_name = "PATH", default_value = "repositories.yaml")]
    pub(crate) repositories: PathBuf,
}

/// Options of `requests`.
#[derive(clap::Args, Debug)]
pub(crate) struct Requests {
    /// At most so many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
    pub(crate) limit: usize,
}
