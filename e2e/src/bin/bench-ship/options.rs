//! What can be asked for on the command line.

use clap::Parser;

/// Compares ways of an image onto other hosts.
#[derive(Parser)]
pub(crate) struct Options {
    /// How often everything on one host is measured; medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// What the link to each host carries, in tc's words, such as 100mbit; as fast as it goes unless it is given.
    #[arg(long)]
    pub(crate) rate: Option<String>,
    /// Only the model's file, beside scp.
    #[arg(long)]
    pub(crate) only_model: bool,
    /// How many hosts get the image at once in the last rows.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) hosts: u32,
    /// The image with which the shipper's memory is measured, in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(4..=16_384))]
    pub(crate) large: u32,
}
