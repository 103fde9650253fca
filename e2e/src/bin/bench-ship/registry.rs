//! A registry on this machine: pushed to once, and pulled from by each host through `ssh -R`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use cutover_e2e::Host;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::command::{run, ssh};

/// How long it may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The one that Debian packages, with its content in a folder. It ends when this is dropped.
pub(crate) struct Registry {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Registry {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            folder.path().display()
        );
        fs::write(&config, text)?;
        let mut serve = Command::new("docker-registry");
        serve.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = serve.spawn().context("starting docker-registry: scripts/bench-ship.sh installs it")?;
        let registry = Self { port, process, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(begun.elapsed() < START_LIMIT, "the registry doesn't listen");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(registry)
    }

    fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }

    pub(crate) fn push(&self, image: &str) -> anyhow::Result<()> {
        let name = self.name(image);
        run(Command::new("docker").args(["tag", image, &name]))?;
        let pushed = run(Command::new("docker").args(["push", "--quiet", &name]));
        run(Command::new("docker").args(["rmi", "--no-prune", &name]))?;
        pushed.map(drop)
    }

    pub(crate) fn pull(&self, image: &str, hosts: &[Host]) -> anyhow::Result<()> {
        thread::scope(|scope| {
            let pulling: Vec<_> =
                hosts.iter().map(|host| scope.spawn(|| self.pull_on(image, host))).collect();
            pulling.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a script panicked"))?)
        })
    }

    fn pull_on(&self, image: &str, host: &Host) -> anyhow::Result<()> {
        let ssh = ssh(host);
        let tunnel = format!("{0}:127.0.0.1:{0}", self.port);
        let mut pull = Command::new(&ssh[0]);
        pull.args(["-o", "ExitOnForwardFailure=yes", "-R", &tunnel]).args(&ssh[1..]);
        run(pull.args(["docker", "pull", "--quiet", &self.name(image)])).map(drop)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
