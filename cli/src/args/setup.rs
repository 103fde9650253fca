//! What is said of the proxies of hosts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Subcommand;
use ipnet::IpNet;

use crate::setup::{AccessLog, Https, Other};

/// Options of `setup`.
#[derive(clap::Args, Debug)]
pub(crate) struct Setup {
    /// The destination
    #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
    pub(crate) place: Option<String>,
    /// Write the keys of hosts that are unknown into known_hosts, after showing them; a changed key is always refused
    #[arg(long)]
    pub(crate) accept_new: bool,
    /// The port that the proxy answers on [default: where it does, and else 80]
    #[arg(long, value_name = "PORT")]
    pub(crate) http_port: Option<u16>,
    /// The port that the proxy speaks TLS on, or none [default: where it does, and else 443; an upgrade adds none by itself]
    #[arg(long, value_name = "PORT")]
    pub(crate) https_port: Option<Https>,
    /// The address on the host at which the proxy answers Prometheus, as in 127.0.0.1:9590 [default: where it does, and else nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// A network of proxies or load balancers of your own in front of the hosts, as in 10.0.0.0/8: what they say of their clients is passed on; may be given several times [default: those that it trusts]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) trust: Vec<IpNet>,
    /// Those proxies announce the client of each connection by the PROXY protocol, 1 or 2: a connection of theirs without it is refused; =false ends that [default: as it is]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) proxy_protocol: Option<bool>,
    /// The proxy starts a trace for each request that comes without one, sampled; =false ends that [default: as it is]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) start_traces: Option<bool>,
    /// What the proxy says of requests.
    #[command(flatten)]
    pub(crate) access_log: AccessLog,
    /// The proxy that the hosts have already, which shall go on carrying the requests: nginx, traefik or none [default: as it is]
    #[arg(long, value_name = "PROXY")]
    pub(crate) drive: Option<Driving>,
    /// How it is driven: an option of `cutover-proxy drive`, as in listen="443 ssl"; may be given several times
    #[arg(long, value_name = "NAME=VALUE", requires = "drive", value_parser = drive_option)]
    pub(crate) with: Vec<(String, String)>,
    /// The proxy's program, built to run from scratch [default: beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) proxy_binary: Option<PathBuf>,
}

/// The proxy to drive, or that none is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driving(pub(crate) Option<Other>);

impl FromStr for Driving {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let other = Other::read(name);
        if other.is_some() || name == "none" {
            Ok(Self(other))
        } else {
            Err("expected nginx, traefik or none")
        }
    }
}

/// Options of `proxy`.
#[derive(clap::Args, Debug)]
pub(crate) struct Proxy {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: ProxyAction,
}

/// What can be done about proxies.
#[derive(Subcommand, Debug)]
pub(crate) enum ProxyAction {
    /// Replace the proxies by those of this version, one host after the other: a new one takes the open sockets over, and no
    /// request is lost
    Upgrade(Setup),
}

/// `listen=443 ssl`
fn drive_option(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, as in listen=80")?;
    Ok((name.trim_start_matches("--").to_owned(), value.to_owned()))
}
