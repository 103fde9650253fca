use clap::Parser;

/// How well canaries are judged, beside other projects' rules on the same traffic.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The first seed: each figure comes from one of its own after it.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many healthy canaries of each kind.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) healthy: usize,
    /// How many of each kind that is worse.
    #[arg(long, default_value_t = 500)]
    pub(crate) worse: usize,
}
