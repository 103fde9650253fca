use std::path::PathBuf;

use clap::Parser;

/// How many replicas one prober on one core watches.
#[derive(Parser)]
pub(crate) struct Options {
    /// Hosts: connections over SSH.
    #[arg(long, default_value_t = 100)]
    pub(crate) hosts: usize,
    /// Replicas in all.
    #[arg(long, default_value_t = 1000)]
    pub(crate) replicas: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// The prober.
    #[arg(long, default_value = "target/release/cutover-prober")]
    pub(crate) prober: PathBuf,
    /// The server of the journal.
    #[arg(long, default_value = "/usr/local/lib/cutover/nats-server")]
    pub(crate) nats_server: PathBuf,
}
