//! A MariaDB server of a test's own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use crate::root;

/// A server with one empty database. It is gone, with its files, when this is dropped, or this process is gone.
#[derive(Debug)]
pub struct Mariadb {
    process: Child,
    /// The address of the database.
    pub url: String,
}

impl Mariadb {
    /// Starts a server whose folder is named after `name`, with options of its own.
    ///
    /// # Errors
    /// When it doesn't start; the script says why.
    pub fn start(name: &str, options: &[&str]) -> anyhow::Result<Self> {
        // The user that the server runs as must be able to reach the folder, so it can't lie under root's.
        let folder = std::env::temp_dir().join(format!("cutover-{name}-{}", std::process::id()));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut process = Command::new(root().join("scripts/mariadb.sh"))
            .arg("run")
            .arg(&folder)
            .arg(port.to_string())
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("mariadb.sh could not be run")?;
        let mut url = String::new();
        let out = process.stdout.take().context("mariadb.sh has no output")?;
        BufReader::new(out).read_line(&mut url)?;
        let server = Self { process, url: url.trim().to_owned() };
        ensure!(server.url.starts_with("mysql://"), "mariadb.sh started no server");
        Ok(server)
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
