use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bollard::models::SystemInfo;
use cutover_host::Host;

use super::elf::Architecture;
use super::{DOCKER_SOCKET, Error};

/// The earliest Docker Engine that Cutover is tested with.
pub(crate) const MINIMUM: Version = Version { year: 20, month: 10 };

const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// The version of a Docker Engine, which is a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    year: u32,
    month: u32,
}

/// What matters about a host's Engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Engine {
    /// The version as the Engine tells it.
    pub(super) version: String,
    /// Whether containers outlive a restart of the daemon.
    pub(super) live_restore: bool,
    /// The group that may use Docker, and so may command the proxy: its members are root on the host already.
    pub(super) group: u32,
}

impl Engine {
    /// Asks a host for its Engine.
    ///
    /// # Errors
    /// None, one that is too old, or one for which the proxy's binary isn't made.
    pub(super) async fn of(host: &Host, needed: Architecture) -> Result<Self, Error> {
        let docker = host.docker().await?;
        let info = docker.info().await.map_err(host.docker_failed("asking for its version"))?;
        check(host.name(), &info, needed)?;
        Ok(Self {
            version: info.server_version.unwrap_or_default(),
            live_restore: info.live_restore_enabled.unwrap_or(false),
            group: socket_group(host).await?,
        })
    }
}

fn check(host: &str, info: &SystemInfo, needed: Architecture) -> Result<(), Error> {
    let told = info.server_version.as_deref().unwrap_or_default();
    let version: Version =
        told.parse().map_err(|_| Error::UnknownEngine { host: host.to_owned(), version: told.to_owned() })?;
    if version < MINIMUM {
        return Err(Error::OldEngine { host: host.to_owned(), version });
    }
    match info.architecture.as_deref() {
        Some(theirs) if theirs != needed.kernel => {
            Err(Error::Architecture { host: host.to_owned(), theirs: theirs.to_owned(), ours: needed.kernel })
        }
        _ => Ok(()),
    }
}

async fn socket_group(host: &Host) -> Result<u32, Error> {
    let output = host.run(&["stat", "--dereference", "--format=%g", DOCKER_SOCKET], COMMAND_LIMIT).await?;
    let group = String::from_utf8_lossy(&output.stdout).trim().parse();
    group.map_err(|_| Error::SocketGroup {
        host: host.name().to_owned(),
        socket: DOCKER_SOCKET,
        reason: output.last_line(),
    })
}

impl FromStr for Version {
    type Err = std::num::ParseIntError;

    /// Reads `20.10.24+dfsg1` as 20.10.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let mut next = || parts.next().unwrap_or_default().parse();
        Ok(Self { year: next()?, month: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.year, self.month)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const X86: Architecture = Architecture { image: "amd64", kernel: "x86_64" };

    fn told(version: &str, architecture: &str) -> Result<(), Error> {
        let info = SystemInfo {
            server_version: Some(version.to_owned()),
            architecture: Some(architecture.to_owned()),
            ..SystemInfo::default()
        };
        check("web-1", &info, X86)
    }

    #[test]
    fn engines_since_20_10_will_do() {
        told("20.10.24+dfsg1", "x86_64").unwrap();
        told("26.1.5+dfsg1", "x86_64").unwrap();
        told("29.0", "x86_64").unwrap();
        assert!(matches!(told("19.03.13", "x86_64"), Err(Error::OldEngine { .. })));
        assert!(matches!(told("dev", "x86_64"), Err(Error::UnknownEngine { .. })));
    }

    #[test]
    fn a_binary_for_another_processor_is_refused_before_it_fails_there() {
        let message = told("26.1.5", "aarch64").unwrap_err().to_string();
        assert!(message.contains("web-1 is aarch64") && message.contains("for x86_64"), "{message}");
    }
}
