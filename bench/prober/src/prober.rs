//! The prober, held to one core.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use crate::journal::Server;
use crate::sshd::Sshd;

/// Ticks per second in /proc, whatever the kernel's own clock is: a constant of its interface.
const TICKS: f64 = 100.0;

/// A running prober. It is killed when this is dropped.
pub(crate) struct Prober {
    process: Child,
    metrics: SocketAddr,
}

impl Prober {
    pub(crate) fn start(
        program: &Path,
        core: usize,
        server: &Server,
        sshd: &Sshd,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        ensure!(program.exists(), "there is no {}: build it with the release profile", program.display());
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", &core.to_string()])
            .arg(program)
            .env("NATS_URL", &server.url)
            .env("CUTOVER_METRICS", metrics.to_string())
            .env("CUTOVER_SSH_KEY", &sshd.key)
            .env("CUTOVER_KNOWN_HOSTS", &sshd.known_hosts)
            .env("CUTOVER_SSH_CONFIG", "none")
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stderr(fs::File::create(log)?);
        Ok(Self { process: command.spawn().context("no taskset")?, metrics })
    }

    /// User and system time that it has used.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name, in parentheses, may hold anything, so the fields are counted from its end.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_ascii_whitespace().collect())
            .unwrap_or_default();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        Ok((ticks(11).context("no user time")? + ticks(12).context("no system time")?) / TICKS)
    }

    /// What it has in memory, in MiB.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// How many replicas it shows to be well.
    pub(crate) fn well(&self) -> anyhow::Result<usize> {
        let mut stream = TcpStream::connect(self.metrics)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: prober\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.lines().filter(|line| line.starts_with("probe_success{") && line.ends_with(" 1")).count())
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
