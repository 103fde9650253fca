//! Which Docker Engine builds.

use std::path::PathBuf;
use std::str::FromStr;

use cutover_core::{HostSpec, InvalidHostUrl};

/// The Docker Engine of a builder, as `DOCKER_HOST` names it: of this machine, or of another one, behind SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    /// The one that listens on this socket: `unix:///var/run/docker.sock`.
    Socket(PathBuf),
    /// The one of that machine: `ssh://user@host:port`.
    Remote(HostSpec),
}

/// A text that names no Docker Engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDockerHost {
    /// The URL of a host that is none.
    #[error(transparent)]
    Host(#[from] InvalidHostUrl),
    /// Another way to an Engine, or none.
    #[error("a Docker Engine is reached by unix:///path of its socket, or by ssh://user@host")]
    Scheme,
}

impl FromStr for DockerHost {
    type Err = InvalidDockerHost;

    fn from_str(text: &str) -> Result<Self, InvalidDockerHost> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') {
            Ok(Self::Socket(path.into()))
        } else if text.starts_with("ssh://") {
            Ok(Self::Remote(text.parse()?))
        } else {
            Err(InvalidDockerHost::Scheme)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_socket_of_this_machine_or_another_machine() {
        let socket = DockerHost::Socket("/run/docker.sock".into());
        for text in ["unix:///run/docker.sock", "/run/docker.sock"] {
            assert_eq!(text.parse(), Ok(socket.clone()));
        }
        let remote = DockerHost::Remote("ssh://root@build.example.com:22".parse().unwrap());
        assert_eq!("ssh://build.example.com".parse(), Ok(remote));
        for text in ["", "docker.sock", "tcp://127.0.0.1:2375", "unix://docker.sock"] {
            assert_eq!(text.parse::<DockerHost>(), Err(InvalidDockerHost::Scheme), "{text}");
        }
        let with_password = "ssh://root:hunter2@build.example.com".parse::<DockerHost>();
        assert_eq!(with_password, Err(InvalidDockerHost::Host(InvalidHostUrl)));
    }
}
