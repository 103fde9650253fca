//! A real Prometheus of a test's own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

/// Prometheus, which reads one target each second. It is gone, with what it has stored, when this is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    /// Where it is asked.
    pub url: String,
    process: Child,
    _folder: TempDir,
}

impl MetricsServer {
    /// Starts it, to read `target`.
    ///
    /// # Errors
    /// A server that isn't installed, or doesn't answer within 30 s.
    #[allow(clippy::disallowed_methods)]
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let config = folder.path().join("prometheus.yml");
        let job = format!("{{job_name: hello, static_configs: [{{targets: ['{target}']}}]}}");
        std::fs::write(&config, format!("global: {{scrape_interval: 1s}}\nscrape_configs: [{job}]\n"))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .context("prometheus")?;
        let server = Self { url: format!("http://{address}"), process, _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > Duration::from_secs(30) {
                bail!("Prometheus didn't listen on {address} within 30 s");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
