//! Hosts: one Docker client, TCP and unix-socket connections, a listener and commands, over two transports that look
//! alike, this machine and SSH.
//!
//! It is the only crate that knows SSH. [`Hosts`] keeps one connection per host, open across tasks and opened again
//! when it is lost; a [`Host`] is what the programs work with. The key of a host is verified against `known_hosts`
//! before anything else is said to it, always.

mod address;
mod channel;
mod command;
mod connection;
mod docker;
mod error;
mod helper;
mod host;
mod host_certificate;
mod hosts;
mod identity;
mod key_agent;
mod known_hosts;
mod listener;
mod local;
mod options;
mod route;
mod session;
mod socket;
mod ssh;
mod ssh_config;
mod stream;
mod transport;

/// The container of the proxy on a host. Where sshd forwards nothing, another one of its image carries the connections.
pub const HELPER: &str = "cutover-proxy";

pub use address::HostAddress;
pub use command::Output;
pub use error::Error;
pub use host::Host;
pub use hosts::Hosts;
pub use key_agent::{KeyAgent, ListeningAgent};
pub use listener::RemoteListener;
pub use options::SshOptions;
pub use stream::Stream;
