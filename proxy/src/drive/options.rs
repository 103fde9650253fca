use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Which proxy of the host is driven.
#[derive(Clone, Debug, Subcommand)]
pub enum Driven {
    /// An nginx (1.18 or later) that runs on this host, by a file that its configuration includes, and reloads.
    Nginx(NginxOptions),
    /// A Traefik (3.0 or later) on the host's network, by a file of its file provider.
    Traefik(TraefikOptions),
}

/// What is the same for each proxy that is driven.
#[derive(Clone, Debug, Args)]
pub struct DriveOptions {
    /// The unix socket to accept control calls on; a stale one is removed.
    #[arg(long, env = "CUTOVER_PROXY_CONTROL", default_value = cutover_control::DEFAULT_SOCKET)]
    pub control: PathBuf,
    /// The group that may use the control socket, by number; without it, the group of this process.
    #[arg(long, env = "CUTOVER_PROXY_CONTROL_GID")]
    pub control_gid: Option<u32>,
    /// The folder that keeps routes and fences over a restart; made when it is missing.
    #[arg(long, env = "CUTOVER_PROXY_STATE", default_value = "/var/lib/cutover/proxy")]
    pub state: PathBuf,
    /// The folder that the other proxy reads its configuration from: a file `cutover.conf`, or `cutover.yaml`, in it is ours.
    #[arg(long, value_name = "FOLDER")]
    pub conf_dir: PathBuf,
}

/// How an nginx is driven.
#[derive(Clone, Debug, Args)]
pub struct NginxOptions {
    /// What is the same for each proxy.
    #[command(flatten)]
    pub drive: DriveOptions,
    /// The file with the number of nginx's master process.
    #[arg(long, value_name = "PATH", default_value = "/run/nginx.pid")]
    pub pid_file: PathBuf,
    /// What nginx listens on for the services, in its own words, as in "443 ssl http2"; may be given several times.
    #[arg(long, value_name = "PARAMETERS", default_value = "80")]
    pub listen: Vec<String>,
    /// An address on loopback that nobody uses: nginx says there which configuration is in force, and sends its log there by
    /// datagrams.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9591")]
    pub local: SocketAddr,
    /// How nginx's configuration is tested, in words that are separated by spaces; run in the root folder of its master.
    #[arg(long, value_name = "COMMAND", default_value = "nginx -t -q")]
    pub test: String,
}

/// How a Traefik is driven.
#[derive(Clone, Debug, Args)]
pub struct TraefikOptions {
    /// What is the same for each proxy.
    #[command(flatten)]
    pub drive: DriveOptions,
    /// Where Traefik answers its API, without TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub api: SocketAddr,
    /// Where Traefik answers Prometheus at /metrics; without it, where it answers its API.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// An entry point of Traefik that the services are reached at; may be given several times. Without it, those that Traefik
    /// takes by itself.
    #[arg(long = "entry-point", value_name = "NAME")]
    pub entry_points: Vec<String>,
}
