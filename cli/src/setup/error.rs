use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::engine::{self, Version};

/// How a proxy that runs from scratch is built.
const HOW_TO_BUILD: &str = "`make build` links it statically (-C target-feature=+crt-static) into target/dist; give \
                            another one with --proxy-binary";

/// Why hosts are not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The proxy that runs can't be asked to hand over.
    #[error(
        "the proxy that runs on {host} doesn't answer as one that could hand over: `docker rm -f cutover-proxy` there, then \
         `cutover setup`, replaces it, and no request is answered in between"
    )]
    NoHandover {
        /// The host.
        host: String,
        /// What it answered, or why it didn't.
        #[source]
        source: Box<cutover_fleet::Error>,
    },
    /// The proxy's binary can't be read.
    #[error("could not read the proxy's binary {}: {source}; {HOW_TO_BUILD}", path.display())]
    Binary {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The proxy's binary is no program for Linux.
    #[error("{} is not a 64-bit Linux program for x86-64 or ARM64: {reason}; {HOW_TO_BUILD}", path.display())]
    NoProgram {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The proxy's binary needs a dynamic linker, and the image has none.
    #[error("{} is dynamically linked (it asks for {interpreter}) and can't run in an image of its own; {HOW_TO_BUILD}", path.display())]
    Dynamic {
        /// The file.
        path: PathBuf,
        /// The linker that it asks for.
        interpreter: String,
    },
    /// The image can't be assembled.
    #[error("could not assemble the proxy's image: {0}")]
    Image(#[source] io::Error),
    /// Connecting, Docker, a command.
    #[error(transparent)]
    Host(#[from] cutover_host::Error),
    /// A container.
    #[error(transparent)]
    Fleet(Box<cutover_fleet::Error>),
    /// The Engine is too old.
    #[error("Docker on {host} is {version}, and Cutover needs {} or later", engine::MINIMUM)]
    OldEngine {
        /// The host.
        host: String,
        /// Its version.
        version: Version,
    },
    /// The Engine tells nothing that can be read as its version.
    #[error("Docker on {host} tells '{version}' as its version: is it a Docker Engine?")]
    UnknownEngine {
        /// The host.
        host: String,
        /// What it tells.
        version: String,
    },
    /// The binary is for another architecture.
    #[error(
        "{host} is {theirs}, and the proxy's binary is for {ours}; give one for {theirs} with --proxy-binary"
    )]
    Architecture {
        /// The host.
        host: String,
        /// Its architecture.
        theirs: String,
        /// The binary's.
        ours: &'static str,
    },
    /// Who may use Docker is not known.
    #[error("could not read the group of {socket} on {host}: {reason}")]
    SocketGroup {
        /// The host.
        host: String,
        /// The socket of the Engine.
        socket: &'static str,
        /// Why not.
        reason: String,
    },
    /// Somebody else listens on the proxy's port.
    #[error(
        "port {port} of {host} is held by {holder}: stop it, or give the proxy another port with --http-port \
         or --https-port, which may also be none"
    )]
    PortTaken {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Who.
        holder: String,
    },
    /// A container of the proxy's name that Cutover didn't make.
    #[error(
        "{host} has a container {name} of the image {image} that Cutover has not made: remove or rename it"
    )]
    ForeignContainer {
        /// The host.
        host: String,
        /// The container's name.
        name: &'static str,
        /// Its image.
        image: String,
    },
    /// The proxy ended.
    #[error("the proxy on {host} does not stay up{log}")]
    ProxyEnded {
        /// The host.
        host: String,
        /// Its last lines.
        log: String,
    },
    /// The proxy doesn't answer.
    #[error("the proxy on {host} did not answer at {socket} within {} s: {reason}", limit.as_secs())]
    ProxySilent {
        /// The host.
        host: String,
        /// Its control socket.
        socket: &'static str,
        /// For how long it was asked.
        limit: Duration,
        /// The last answer.
        reason: String,
    },
    /// Hosts that are not ready. Each one's reason was reported as its last step.
    #[error("{} not ready", count(.0))]
    Hosts(Vec<Error>),
}

impl From<cutover_fleet::Error> for Error {
    fn from(error: cutover_fleet::Error) -> Self {
        Self::Fleet(Box::new(error))
    }
}

impl Error {
    /// Whether a host is what has to be mended, and not the command or this machine.
    pub(crate) fn is_about_a_host(&self) -> bool {
        !matches!(self, Self::Binary { .. } | Self::NoProgram { .. } | Self::Dynamic { .. } | Self::Image(_))
    }
}

fn count(errors: &[Error]) -> String {
    match errors.len() {
        1 => "one host is".to_owned(),
        many => format!("{many} hosts are"),
    }
}
