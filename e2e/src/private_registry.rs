//! A real registry of a test's own, that asks for a password.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::time::sleep;

/// As `htpasswd -nbB` writes it: anna, with the password hunter2.
const HTPASSWD: &str = "anna:$2b$05$HhrNltpPAU45twFBee3vjeNhHF.5veFqnMempI5hLL8AmYCWOZOJK\n";
/// How long it may take to listen.
const LIMIT: Duration = Duration::from_secs(10);

/// The one that Debian packages. It ends when this is dropped.
#[derive(Debug)]
pub struct PrivateRegistry {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl PrivateRegistry {
    /// Who may enter.
    pub const USERNAME: &str = "anna";
    /// With which password.
    pub const PASSWORD: &str = "hunter2";

    /// Starts it, on a port of this machine's loopback.
    ///
    /// # Errors
    /// A registry that isn't installed, or doesn't listen.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        // Free a moment ago: the program takes no socket.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("htpasswd"), HTPASSWD)?;
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n\
             auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            path("content"),
            path("htpasswd")
        );
        std::fs::write(path("config.yml"), config)?;
        let mut serve = Command::new("docker-registry");
        serve.args(["serve", &path("config.yml")]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = serve.spawn().context("starting docker-registry: scripts/install.sh installs it")?;
        let registry = Self { port, process, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(begun.elapsed() < LIMIT, "docker-registry doesn't listen");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(registry)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What images in it are named after.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Writes its password where a reference may point to.
    ///
    /// # Errors
    /// A folder that can't be written to.
    pub fn write_password(path: &Path) -> anyhow::Result<()> {
        Ok(std::fs::write(path, Self::PASSWORD)?)
    }
}

impl Drop for PrivateRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
