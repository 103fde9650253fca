use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, Parser};
use hyper::header::HeaderName;
use ipnet::IpNet;

use crate::drive::Driven;

/// The data plane of Cutover on a host.
#[derive(Debug, Parser)]
#[command(name = "cutover-proxy", version)]
pub enum Command {
    /// Serve HTTP and HTTPS, and calls on the control socket, until SIGTERM or SIGINT.
    Serve(Box<ServeOptions>),
    /// Have another proxy of this host carry the requests, and answer the same calls on the control socket, until SIGTERM or
    /// SIGINT.
    #[command(subcommand)]
    Drive(Driven),
    /// Run a program in another root folder.
    #[command(hide = true)]
    Enter {
        /// The folder.
        root: PathBuf,
        /// The program.
        program: String,
        /// What it is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Copy what a folder lacks of another one into it.
    #[command(hide = true)]
    Fill {
        /// The folder that has it.
        from: PathBuf,
        /// The folder that may lack it.
        to: PathBuf,
    },
    /// Put models together from what comes over a socket, until whoever connects to it first is done.
    #[command(hide = true)]
    Assemble(AssembleOptions),
    /// Carry connections over standard input and output, both of which are pipes: the way in where SSH forwards nothing.
    #[command(hide = true)]
    Bridge,
}

/// Where models are put together.
#[derive(Clone, Debug, Args)]
pub struct AssembleOptions {
    /// The unix socket to accept one connection on; a stale one is removed.
    #[arg(long)]
    pub socket: PathBuf,
    /// A file whose group may use the socket too; without it, or where it isn't there, the group of this process.
    #[arg(long)]
    pub group_of: Option<PathBuf>,
    /// The folder of all models.
    #[arg(long)]
    pub folder: PathBuf,
}

/// Where the proxy listens and keeps its state.
#[derive(Clone, Debug, Args)]
pub struct ServeOptions {
    /// The address to accept HTTP on; port 0 takes a free one.
    #[arg(long, env = "CUTOVER_PROXY_HTTP", default_value = "0.0.0.0:80")]
    pub http: SocketAddr,
    /// The address to accept HTTPS on, with the certificates that are told on the control socket; without it, there is none.
    #[arg(long, env = "CUTOVER_PROXY_HTTPS")]
    pub https: Option<SocketAddr>,
    /// Another address to accept HTTP on, as one that the proxy before had and clients still come to.
    #[arg(long, env = "CUTOVER_PROXY_ALSO_HTTP", value_name = "HTTP")]
    pub also_http: Option<SocketAddr>,
    /// Another address to accept HTTPS on, likewise.
    #[arg(long, env = "CUTOVER_PROXY_ALSO_HTTPS", value_name = "HTTPS", requires = "https")]
    pub also_https: Option<SocketAddr>,
    /// The address to answer Prometheus on, at /metrics; without it, nobody is answered.
    #[arg(long, env = "CUTOVER_PROXY_METRICS")]
    pub metrics: Option<SocketAddr>,
    /// The unix socket to accept control calls on; a stale one is removed.
    #[arg(long, env = "CUTOVER_PROXY_CONTROL", default_value = cutover_control::DEFAULT_SOCKET)]
    pub control: PathBuf,
    /// The group that may use the control socket, by number; without it, the group of this process.
    #[arg(long, env = "CUTOVER_PROXY_CONTROL_GID")]
    pub control_gid: Option<u32>,
    /// The folder that keeps routes, fences and certificates over a restart; made when it is missing.
    #[arg(long, env = "CUTOVER_PROXY_STATE", default_value = "/var/lib/cutover/proxy")]
    pub state: PathBuf,
    /// Take over from the proxy that serves with the same control socket, where there is one: its sockets come here with
    /// all that waits in them, it finishes what it has in flight, and nobody notices.
    #[arg(long, env = "CUTOVER_PROXY_TAKE_OVER")]
    pub take_over: bool,
    /// How long what is in flight may take once another proxy has taken over, or this one was asked to end, in seconds.
    #[arg(long, env = "CUTOVER_PROXY_END_LIMIT", default_value_t = 30)]
    pub end_limit: u64,
    /// A network of proxies of your own in front of this one, as in 10.0.0.0/8; may be given several times. What they say of
    /// their clients (X-Forwarded-For, -Proto, -Host, Forwarded) is passed on; anybody else's claims are replaced.
    #[arg(long = "trust", env = "CUTOVER_PROXY_TRUST", value_name = "NETWORK", value_delimiter = ',')]
    pub trusted: Vec<IpNet>,
    /// The proxies of the trusted networks announce the client of each connection by the PROXY protocol, version 1 or 2, before
    /// TLS where there is TLS. A connection from there that doesn't begin so is refused; from others no announcement is read.
    #[arg(long, env = "CUTOVER_PROXY_PROXY_PROTOCOL", requires = "trusted")]
    pub proxy_protocol: bool,
    /// Start a trace (W3C trace context, sampled) for each request that comes without a valid one. Off by default: the first
    /// span of such a trace is nobody's, and an application that samples a share of its own traces would record them all.
    #[arg(long, env = "CUTOVER_PROXY_START_TRACES")]
    pub start_traces: bool,
    /// What is said of requests.
    #[command(flatten)]
    pub access_log: AccessLogOptions,
    /// How many threads carry requests, each on its own; without it, one for each core.
    #[arg(long, env = "CUTOVER_PROXY_WORKERS")]
    pub workers: Option<NonZero<usize>>,
}

/// What is said of requests.
#[derive(Clone, Debug, Args)]
pub struct AccessLogOptions {
    /// Write one line of JSON for each request to standard output, once its response has ended.
    #[arg(long = "access-log", id = "access_log", env = "CUTOVER_PROXY_ACCESS_LOG")]
    pub enabled: bool,
    /// Log queries too: they may hold tokens.
    #[arg(long = "access-log-query", env = "CUTOVER_PROXY_ACCESS_LOG_QUERY", requires = "access_log")]
    pub query: bool,
    /// A field of requests and responses to log, as in user-agent; may be given several times. Of authorization,
    /// proxy-authorization, cookie, set-cookie and x-api-key it is only said that they were there.
    #[arg(
        long = "access-log-header",
        env = "CUTOVER_PROXY_ACCESS_LOG_HEADER",
        value_name = "NAME",
        value_delimiter = ',',
        requires = "access_log"
    )]
    pub headers: Vec<HeaderName>,
    /// The most lines in a second; how many were left out is said once in a second.
    #[arg(
        long = "access-log-rate",
        env = "CUTOVER_PROXY_ACCESS_LOG_RATE",
        value_name = "LINES",
        default_value = "1000"
    )]
    pub rate: NonZero<u32>,
}
