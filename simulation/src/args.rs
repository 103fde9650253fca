//! The command line.

use cutover_simulation::Flaw;

/// Plays Cutover's protocol against kills, stops, lost messages, lost hosts and people, from seeds.
#[derive(Debug, clap::Parser)]
#[command(version)]
pub(crate) struct Args {
    /// How many seeds are played
    #[arg(long, default_value_t = 10_000)]
    pub(crate) seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    pub(crate) from: u64,
    /// Threads; by default one for each CPU
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// Plays this seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    pub(crate) seed: Option<u64>,
    /// Prints all that happens in it
    #[arg(long, requires = "seed")]
    pub(crate) trace: bool,
    /// Puts a mistake into the protocol, to see that it is found
    #[arg(long)]
    pub(crate) flaw: Option<Flaw>,
}
