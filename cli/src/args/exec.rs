//! What is said of commands in replicas.

use cutover_core::HostName;

/// Options of `exec`.
#[derive(clap::Args, Debug)]
pub(crate) struct Exec {
    /// In a replica of this role [default: one that has traffic]
    #[arg(long, value_name = "ROLE", default_value = cutover_fleet::WEB, hide_default_value = true)]
    pub(crate) role: String,
    /// On this host [default: the first that has one]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<HostName>,
    /// In every replica of the role, one after the other
    #[arg(long, conflicts_with = "interactive")]
    pub(crate) all: bool,
    /// Give it what is typed or piped in, and a terminal where this is one
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// The command and its arguments, after `--`
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,
}
