//! A prober beside those that `cutover up` starts, with its metrics.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cutover_core::Program;
use tempfile::TempDir;

use crate::ControlPlane;

/// A running prober. It is killed when this is dropped.
#[derive(Debug)]
pub struct ProberProcess {
    process: Child,
    metrics: SocketAddr,
    folder: TempDir,
}

impl ProberProcess {
    /// Starts one for that control plane, and waits until it is at work.
    ///
    /// # Errors
    /// A program that wasn't built, or isn't at work within 30 s.
    #[allow(clippy::disallowed_methods)]
    pub fn start(plane: &ControlPlane) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(plane.programs().join(Program::Prober.binary()));
        command
            .envs(plane.environment())
            .env("NATS_URL", plane.url()?)
            .env("CUTOVER_METRICS", metrics.to_string())
            .stdin(Stdio::null())
            .stderr(log);
        let process = command.spawn().context("no cutover-prober: run scripts/build.sh")?;
        let (prober, began) = (Self { process, metrics, folder }, Instant::now());
        while !prober.log()?.contains("at work") {
            if began.elapsed() > Duration::from_secs(30) {
                bail!("the prober isn't at work within 30 s: {}", prober.log()?);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(prober)
    }

    /// What it shows of the metric of that name for a replica, by its container's name; none: nothing.
    ///
    /// # Errors
    /// Metrics that it doesn't show at all.
    pub fn shows(&self, metric: &str, replica: &str) -> anyhow::Result<Option<f64>> {
        let mut stream = TcpStream::connect(self.metrics)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: prober\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let label = format!("replica=\"{replica}\"");
        let line = text.lines().find(|line| {
            line.strip_prefix(metric).is_some_and(|rest| rest.starts_with('{') && rest.contains(&label))
        });
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()))
    }

    /// What it has said.
    ///
    /// # Errors
    /// A log that can't be read.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join("log"))?)
    }

    /// Kills it.
    ///
    /// # Errors
    /// A process that is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for ProberProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
