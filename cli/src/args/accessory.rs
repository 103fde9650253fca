//! What is said of accessories.

use std::path::PathBuf;

use clap::Subcommand;
use cutover_core::{HostName, Span};

/// Options of `accessory`.
#[derive(clap::Args, Debug)]
pub(crate) struct Accessory {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: AccessoryAction,
}

/// What can be done about accessories.
#[derive(Subcommand, Debug)]
pub(crate) enum AccessoryAction {
    /// Make and start those that aren't there; what runs is left alone
    Boot(Boot),
    /// Make them anew, as the deploy file says now; their volumes stay, and what fails leaves the one before
    Reboot(Reboot),
    /// Start those that were stopped
    Start(Some),
    /// Stop them until they are started
    Stop(Some),
    /// Stop and start them as they are
    Restart(Some),
    /// Stop them and remove their containers; their volumes stay
    Remove(Some),
    /// Show how they are, on each host
    Status(Status),
    /// Show what one writes, of all its hosts together
    Logs(Logs),
    /// Run a command in the container of one
    Exec(Exec),
}

/// Options of `accessory boot`.
#[derive(clap::Args, Debug)]
pub(crate) struct Boot {
    /// Their names [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Only on this host
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<HostName>,
    /// How long one may take until it is healthy, where its image says how that is seen
    #[arg(long, value_name = "TIME", default_value = "1m")]
    pub(crate) timeout: Span,
}

/// Options of `accessory reboot`.
#[derive(clap::Args, Debug)]
pub(crate) struct Reboot {
    /// Their names
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Only on this host
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<HostName>,
    /// Also where the deploy file names other volumes than it has: what is in those is not in these
    #[arg(long)]
    pub(crate) other_volumes: bool,
    /// Pull the image also where the host has one of that name
    #[arg(long)]
    pub(crate) pull: bool,
    /// How long one may take until it is healthy, where its image says how that is seen
    #[arg(long, value_name = "TIME", default_value = "1m")]
    pub(crate) timeout: Span,
}

/// Which ones.
#[derive(clap::Args, Debug)]
pub(crate) struct Some {
    /// Their names
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Only on this host
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<HostName>,
}

/// Options of `accessory status`.
#[derive(clap::Args, Debug)]
pub(crate) struct Status {
    /// Their names [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// Options of `accessory logs`.
#[derive(clap::Args, Debug)]
pub(crate) struct Logs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Only of this host
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<HostName>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Lines of each container to begin with
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    pub(crate) tail: u32,
    /// The deploy file
    // As for `logs`: `-f` follows.
    #[arg(id = "file", long = "file", value_name = "PATH", default_value = "cutover.yaml")]
    file: PathBuf,
}

/// Options of `accessory exec`.
#[derive(clap::Args, Debug)]
pub(crate) struct Exec {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// On this host [default: the first that it runs on]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<HostName>,
    /// Give it what is typed or piped in, and a terminal where this is one
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// The command and its arguments, after `--`
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,
}
