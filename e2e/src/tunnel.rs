//! A port of this machine's loopback on the loopback of a host.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::time::sleep;

use crate::Host;

/// How long it may take until the host listens.
const LIMIT: Duration = Duration::from_secs(10);

/// The same port here and there, as long as this isn't dropped.
#[derive(Debug)]
pub struct Tunnel(Child);

impl Tunnel {
    /// Opens it (`ssh -R`).
    ///
    /// # Errors
    /// A host that forwards nothing, or has the port already.
    pub async fn open(host: &Host, port: u16) -> anyhow::Result<Self> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-N", "-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes", "-i"]).arg(&host.key);
        ssh.args(["-o", &format!("UserKnownHostsFile={}", host.known_hosts.display())]);
        ssh.args(["-R", &format!("{port}:127.0.0.1:{port}"), &format!("root@{}", host.address)]);
        let mut tunnel = Self(ssh.stdin(Stdio::null()).spawn().context("starting ssh")?);
        let begun = Instant::now();
        let listens = format!("</dev/tcp/127.0.0.1/{port}");
        while host.exec(&["bash", "-c", &listens]).is_err() {
            ensure!(tunnel.0.try_wait()?.is_none(), "ssh has ended");
            ensure!(begun.elapsed() < LIMIT, "the host doesn't listen");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(tunnel)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
