//! What can go wrong between this machine and a host, in the words of the one who has to mend it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why something couldn't be done on a host. `host` is `user@address:port`, or `this machine`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the host's sshd could be made.
    #[error("cannot reach {host}: {source}; is the host up, and does its sshd listen there?")]
    Unreachable {
        /// The host.
        host: String,
        /// The failure of resolving, connecting or of the handshake.
        #[source]
        source: io::Error,
    },
    /// Something took longer than its limit.
    #[error("{host}: {doing} took longer than {limit:?}")]
    Timeout {
        /// The host.
        host: String,
        /// What was being done.
        doing: String,
        /// The limit.
        limit: Duration,
    },
    /// The host's key isn't recorded.
    #[error(
        "the key of {host} is not in {}: {fingerprint}; compare it with what `cat /etc/ssh/ssh_host_*_key.pub | \
         ssh-keygen -lf -` says on the host, then record it with `cutover setup --accept-new` or `ssh`",
        known_hosts.display()
    )]
    HostKeyUnknown {
        /// The host.
        host: String,
        /// The type of the key and its SHA-256 fingerprint.
        fingerprint: String,
        /// The file that was consulted.
        known_hosts: PathBuf,
    },
    /// The host shows another key than the recorded one.
    #[error(
        "the key of {host} has changed to {fingerprint}, and {}:{line} records another: either the host was \
         reinstalled, or somebody answers in its place; only when you know that it was reinstalled, remove that line",
        known_hosts.display()
    )]
    HostKeyChanged {
        /// The host.
        host: String,
        /// The type of the shown key and its SHA-256 fingerprint.
        fingerprint: String,
        /// The file with the record.
        known_hosts: PathBuf,
        /// The line of the record, from 1.
        line: usize,
    },
    /// The host shows another key than the one that is wanted of it.
    #[error(
        "the key of {host} is {fingerprint}, and host_key in the deploy file is {wanted}: either the host was reinstalled, or \
         somebody answers in its place, or that is another one of its keys; compare it with what \
         `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the host"
    )]
    HostKeyOther {
        /// The host.
        host: String,
        /// The type of the shown key and its SHA-256 fingerprint.
        fingerprint: String,
        /// The SHA-256 fingerprint of the key that it should have.
        wanted: String,
    },
    /// The host shows a key that is marked `@revoked`.
    #[error("the key of {host}, {fingerprint}, is revoked by {}:{line}", known_hosts.display())]
    HostKeyRevoked {
        /// The host.
        host: String,
        /// The type of the key and its SHA-256 fingerprint.
        fingerprint: String,
        /// The file with the record.
        known_hosts: PathBuf,
        /// The line of the record, from 1.
        line: usize,
    },
    /// The host shows a certificate that isn't good for it.
    #[error(
        "the certificate {certificate} that {host} shows is not accepted: {reason}; authorities stand in {} as @cert-authority",
        known_hosts.display()
    )]
    HostCertificate {
        /// The host.
        host: String,
        /// What its authority has called it, and the authority's key.
        certificate: Box<str>,
        /// Why not.
        reason: Box<str>,
        /// The file with the authorities.
        known_hosts: PathBuf,
    },
    /// The known hosts couldn't be read or written.
    #[error("cannot use the known hosts in {}: {source}", path.display())]
    KnownHosts {
        /// The file.
        path: PathBuf,
        /// The failure.
        #[source]
        source: io::Error,
    },
    /// What says how hosts are reached can't be used.
    #[error("cannot use {} for {host}: {reason}", path.display())]
    SshConfig {
        /// The file.
        path: PathBuf,
        /// The host, as it is named.
        host: String,
        /// What ssh says of it.
        reason: String,
    },
    /// The host accepts none of the keys.
    #[error("{host} accepts none of the SSH keys that were offered: {}", offered(tried))]
    AuthenticationFailed {
        /// The host.
        host: String,
        /// The keys that were tried, with the reason where one couldn't be offered.
        tried: Vec<String>,
    },
    /// A private key couldn't be used.
    #[error("cannot use the SSH key {}: {source}; if it has a passphrase, add it to an ssh-agent", path.display())]
    KeyUnreadable {
        /// The key file.
        path: PathBuf,
        /// The failure.
        #[source]
        source: russh::keys::Error,
    },
    /// What was given as a private key can't be used as one.
    #[error("cannot use {name} as an SSH key: {source}; it must be a private key without a passphrase")]
    KeyUnusable {
        /// Where it comes from.
        name: String,
        /// The failure.
        #[source]
        source: russh::keys::Error,
    },
    /// The host's sshd forwards nothing, and nothing stands in for it.
    #[error(
        "the sshd of {host} refuses forwarding, needed for {doing}, and the proxy's container, which could stand in for it, is not there: run `cutover setup`, or set AllowTcpForwarding yes in its sshd_config"
    )]
    ForwardingRefused {
        /// The host.
        host: String,
        /// What it was needed for.
        doing: String,
    },
    /// The helper that stands in for forwarding doesn't do it.
    #[error("the helper on {host}, {doing}: {source}")]
    Helper {
        /// The host.
        host: String,
        /// What was being done.
        doing: String,
        /// The failure.
        #[source]
        source: cutover_bridge::Error,
    },
    /// Nothing accepts connections at an address or a socket on the host.
    #[error("nothing on {host} listens on {target}")]
    NotListening {
        /// The host.
        host: String,
        /// The address or the path.
        target: String,
    },
    /// No Docker Engine answers on the host: there is none, or it doesn't run yet, as on a host that boots.
    #[error("no Docker on {host}: {reason}")]
    NoDocker {
        /// The host.
        host: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// The user may not use the host's Docker Engine.
    #[error("no Docker for this user on {host}: {reason}")]
    DockerDenied {
        /// The host.
        host: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// The Docker Engine refused something, or its answer was lost.
    #[error("Docker on {host}, {doing}: {}", innermost(source))]
    Docker {
        /// The host.
        host: String,
        /// What was being done.
        doing: String,
        /// The answer.
        #[source]
        source: bollard::errors::Error,
    },
    /// The connection to the host was lost; whether the host did what was asked is unknown.
    #[error("the connection to {host} was lost during {doing}")]
    Disconnected {
        /// The host.
        host: String,
        /// What was being done.
        doing: String,
    },
    /// The host's sshd refused something, or doesn't speak the protocol as it should.
    #[error("SSH to {host}, {doing}: {source}")]
    Ssh {
        /// The host.
        host: String,
        /// What was being done.
        doing: String,
        /// The failure.
        #[source]
        source: Box<russh::Error>,
    },
    /// The operating system refused something on this machine.
    #[error("{host}, {doing}: {source}")]
    Io {
        /// The host.
        host: String,
        /// What was being done.
        doing: String,
        /// The failure.
        #[source]
        source: io::Error,
    },
    /// An environment variable can't be used.
    #[error("cannot use the environment variable {variable}: {reason}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// The HTTP status with which the Docker Engine refused, where that is what happened: 404 for what doesn't exist, 409
    /// for a conflict.
    pub fn docker_status(&self) -> Option<u16> {
        match self {
            Self::Docker {
                source: bollard::errors::Error::DockerResponseServerError { status_code, .. },
                ..
            } => Some(*status_code),
            _ => None,
        }
    }

    /// Whether the same may succeed later although nobody has mended anything: the network, a restart, a busy host.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::NotListening { .. }
            | Self::NoDocker { .. }
            | Self::Disconnected { .. }
            | Self::Ssh { .. }
            | Self::Helper { .. }
            | Self::Io { .. } => true,
            Self::Docker { source, .. } => docker_retryable(source),
            Self::HostKeyUnknown { .. }
            | Self::HostKeyChanged { .. }
            | Self::HostKeyRevoked { .. }
            | Self::HostKeyOther { .. }
            | Self::HostCertificate { .. }
            | Self::KnownHosts { .. }
            | Self::SshConfig { .. }
            | Self::AuthenticationFailed { .. }
            | Self::KeyUnreadable { .. }
            | Self::KeyUnusable { .. }
            | Self::ForwardingRefused { .. }
            | Self::DockerDenied { .. }
            | Self::Environment { .. } => false,
        }
    }
}

/// The cause at the bottom: the HTTP client's own words are "client error".
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error.source().map_or(error, innermost)
}

/// An answer of the Engine is final unless it blames the server; a lost answer isn't, unless what lies below says so.
fn docker_retryable(error: &bollard::errors::Error) -> bool {
    if let bollard::errors::Error::DockerResponseServerError { status_code, .. } = error {
        return *status_code >= 500;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<Error>() {
            return error.retryable();
        }
        cause = error.source();
    }
    matches!(
        error,
        bollard::errors::Error::RequestTimeoutError
            | bollard::errors::Error::IOError { .. }
            | bollard::errors::Error::HyperResponseError { .. }
            | bollard::errors::Error::HyperLegacyError { .. }
    )
}

fn offered(tried: &[String]) -> String {
    if tried.is_empty() {
        "there was none; name one with CUTOVER_SSH_KEY, or start an ssh-agent".into()
    } else {
        format!("{}; is one of them in the authorized_keys of that user?", tried.join(", "))
    }
}
