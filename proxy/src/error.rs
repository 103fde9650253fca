use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use cutover_control::Refusal;
use thiserror::Error;

/// Why the proxy can't start or can't keep its state.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An address can't be had.
    #[error("listening on {address}: is another server using the port?")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The proxy that serves doesn't hand over.
    #[error("taking over from the proxy that waits at {}", path.display())]
    TakeOver {
        /// Where it waits for a successor.
        path: PathBuf,
        /// What it said, or why it said nothing.
        #[source]
        source: io::Error,
    },
    /// A socket that was handed over can't be used.
    #[error("using a socket that was handed over")]
    Inherited(#[source] io::Error),
    /// The system gives no random numbers for the keys of TLS.
    #[error("making ready for TLS")]
    Tls(#[source] rustls::Error),
    /// A thread that carries requests can't be started.
    #[error("starting a worker")]
    Worker(#[source] io::Error),
    /// What a driven nginx tells can't be received.
    #[error(
        "receiving nginx's log on {address}: is another program using the port? Name another with --local"
    )]
    Log {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The control socket can't be made.
    #[error("making the control socket {}", path.display())]
    ControlSocket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another proxy answers on the control socket.
    #[error("another proxy answers on the control socket {}: stop it first, or name another socket", path.display())]
    ControlTaken {
        /// The socket.
        path: PathBuf,
    },
    /// A file of the state can't be read or written.
    #[error("{action} the proxy's state in {}", path.display())]
    State {
        /// What was being done: `reading` or `writing`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The state was read, but is not what this program writes.
    #[error(
        "the proxy's state in {} is damaged; it is not started without it, since it would forget what stands there: \
         bring the file back, or move it away to start empty",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        #[source]
        source: serde_json::Error,
    },
    /// The state was written by a version of the proxy that this one does not know.
    #[error(
        "the proxy's state in {} has version {found}, this proxy reads version {known}: start the version that wrote it",
        path.display()
    )]
    StateVersion {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The version that is understood.
        known: u32,
    },
}

/// What a caller is told whose change could not be kept.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Storage { message: format!("{error}{cause}") }
    }
}
