//! A separate Docker host on this machine: its own address, sshd, dockerd and disk (`e2e/host/README.md`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

use crate::{dist, root};

/// A Docker host. It is gone, with its disk, when this is dropped.
#[derive(Debug)]
pub struct Host {
    name: String,
    /// Its address, in 198.18.0.0/15.
    pub address: String,
    /// The private key that logs in as root.
    pub key: PathBuf,
    /// A known_hosts file with the host's key.
    pub known_hosts: PathBuf,
}

impl Host {
    /// Brings up a host of that name; every host of this machine has another.
    ///
    /// # Errors
    /// What the script says.
    pub fn up(name: &str) -> anyhow::Result<Self> {
        Self::up_as(name, None)
    }

    /// Brings up a host with the Docker Engine of Debian trixie, 26.1, which keeps its images in its own store (overlay2) or
    /// in containerd's. The first one of a machine takes a minute or two, and downloads it.
    ///
    /// # Errors
    /// What the scripts say.
    pub fn up_with_docker_26(name: &str, containerd_store: bool) -> anyhow::Result<Self> {
        let host = Self::up_as(name, Some("trixie"))?;
        if containerd_store {
            let settings = r#"{"features": {"containerd-snapshotter": true}}"#;
            let write = "mkdir -p /etc/docker && printf %s \"$1\" >/etc/docker/daemon.json";
            host.exec(&["sh", "-c", write, "sh", settings])?;
            host.crash()?;
            host.recover()?;
        }
        Ok(host)
    }

    /// Brings up a host whose sshd forwards nothing.
    ///
    /// # Errors
    /// What the scripts say.
    pub fn up_without_forwarding(name: &str) -> anyhow::Result<Self> {
        let host = Self::up(name)?;
        host.exec(&["sed", "-i", "1i AllowTcpForwarding no", "/etc/ssh/sshd_config"])?;
        host.crash()?;
        host.recover()?;
        Ok(host)
    }

    fn up_as(name: &str, system: Option<&str>) -> anyhow::Result<Self> {
        let output = script_for(system, &["up", name])?;
        let text = String::from_utf8(output.stdout)?;
        let value = |key: &str| {
            text.split_whitespace()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
                .with_context(|| format!("host.sh says no {key}: {text}"))
        };
        Ok(Self {
            name: name.to_owned(),
            address: value("ADDRESS")?,
            key: value("KEY")?.into(),
            known_hosts: value("KNOWN_HOSTS")?.into(),
        })
    }

    /// Its power fails; its disk stays.
    ///
    /// # Errors
    /// What the script says.
    pub fn crash(&self) -> anyhow::Result<()> {
        script(&["crash", &self.name]).map(drop)
    }

    /// It comes back after a crash.
    ///
    /// # Errors
    /// What the script says.
    pub fn recover(&self) -> anyhow::Result<()> {
        script(&["up", &self.name, &self.address]).map(drop)
    }

    /// Runs a command in it, as root, without SSH; answers with what it wrote.
    ///
    /// # Errors
    /// A command that fails.
    pub fn exec(&self, command: &[&str]) -> anyhow::Result<String> {
        let arguments: Vec<&str> = ["exec", &self.name].into_iter().chain(command.iter().copied()).collect();
        Ok(String::from_utf8(script(&arguments)?.stdout)?)
    }

    /// Gives it the helper, which is the proxy's image, with a container of the proxy's name that doesn't run. `scripts/build.sh`
    /// must have run.
    ///
    /// # Errors
    /// A command that fails.
    pub fn put_helper(&self) -> anyhow::Result<()> {
        let script = "tar --create --directory \"$0\" cutover-proxy \
                      | docker import --change 'ENTRYPOINT [\"/cutover-proxy\"]' - cutover/proxy:e2e \
                      && docker create --name cutover-proxy cutover/proxy:e2e serve";
        let dist = dist().canonicalize().context("scripts/build.sh must have run")?;
        self.exec(&["bash", "-c", script, &dist.to_string_lossy()]).map(drop)
    }

    /// Lets the key of another host log in here too.
    ///
    /// # Errors
    /// A key that can't be read, or what the script says.
    pub fn admit(&self, other: &Self) -> anyhow::Result<()> {
        let key = std::fs::read_to_string(other.key.with_extension("pub"))?;
        self.exec(&["sh", "-c", "echo \"$1\" >> /etc/ssh/authorized_keys", "sh", key.trim()]).map(drop)
    }

    /// Where its proxy answers.
    ///
    /// # Errors
    /// An address that is none.
    pub fn http(&self) -> anyhow::Result<SocketAddr> {
        Ok(SocketAddr::new(self.address.parse()?, 80))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = script(&["down", &self.name]) {
            eprintln!("host {} was left behind: {error:#}", self.name);
        }
    }
}

fn script(arguments: &[&str]) -> anyhow::Result<Output> {
    script_for(None, arguments)
}

/// The same, where a new host has the file tree of that Debian release.
fn script_for(system: Option<&str>, arguments: &[&str]) -> anyhow::Result<Output> {
    let output = Command::new(root().join("e2e/host/host.sh"))
        .args(arguments)
        .envs(system.map(|system| ("CUTOVER_HOST_SYSTEM", system)))
        .stdin(Stdio::null())
        .output()
        .context("host.sh could not be run")?;
    if !output.status.success() {
        bail!("host.sh {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}
