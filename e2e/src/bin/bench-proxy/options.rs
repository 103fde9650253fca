//! What can be asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use cutover_e2e::root;

use crate::peer::Peer;

/// Compares Cutover's proxy with others, on two cores of this machine.
#[derive(Parser)]
pub(crate) struct Options {
    /// What to measure.
    #[arg(value_enum, default_value_t = Table::All)]
    pub(crate) table: Table,
    /// Whom to compare with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::OTHERS)]
    pub(crate) peers: Vec<Peer>,
    /// How often everything is measured; medians are shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each run of the tables cpu, latency and upgrade takes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// Swaps of the upstream under load of each proxy, over all rounds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    swaps: u32,
    /// How long the soak takes.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Where scripts/bench-proxy.sh installs peers that Debian doesn't have, in its folder `peers`.
    #[arg(long, env = "CUTOVER_LAB", default_value_os_t = root().join("target/lab"))]
    pub(crate) lab: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// All but the soak and the profile.
    All,
    /// CPU per request, and throughput at saturation.
    Cpu,
    /// Latency at a fixed rate.
    Latency,
    /// Memory with few and with many connections.
    Memory,
    /// Swaps of the upstream under load.
    Swap,
    /// Replacing the proxy itself under load.
    Upgrade,
    /// Cutover's proxy alone under mixed traffic for a long time.
    Soak,
    /// Where the CPU of a request goes, by function.
    Profile,
}

impl Options {
    /// Cutover's proxy first, then those it is compared with, each once.
    pub(crate) fn contenders(&self) -> Vec<Peer> {
        let mut all = vec![Peer::Cutover];
        for peer in &self.peers {
            if !all.contains(peer) {
                all.push(*peer);
            }
        }
        all
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// The length of a run.
    pub(crate) fn run(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// How many swaps each proxy makes in a round, so that there are at least as many as asked for in all of them.
    pub(crate) fn swaps_each_round(&self) -> u32 {
        self.swaps.div_ceil(self.rounds)
    }

    pub(crate) fn soak(&self) -> Duration {
        Duration::from_secs(60 * self.minutes)
    }
}
