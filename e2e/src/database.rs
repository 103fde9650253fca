//! A PostgreSQL server of a test's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::root;

/// A server with one empty database. It is gone, with its files, when this is dropped.
#[derive(Debug)]
pub struct Database {
    folder: PathBuf,
    /// The address of the database.
    pub url: String,
}

impl Database {
    /// Starts a server whose folder is named after `name`.
    ///
    /// # Errors
    /// What the script says.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        // The user that the server runs as must be able to reach the folder, so it can't lie under root's.
        let folder = std::env::temp_dir().join(format!("cutover-{name}-{}", std::process::id()));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let output = Command::new(root().join("scripts/postgres.sh"))
            .arg("start")
            .arg(&folder)
            .arg(port.to_string())
            .output()
            .context("postgres.sh could not be run")?;
        if !output.status.success() {
            bail!("postgres.sh start: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(Self { folder, url: String::from_utf8(output.stdout)?.trim().to_owned() })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let stopped = Command::new(root().join("scripts/postgres.sh")).arg("stop").arg(&self.folder).output();
        if !stopped.is_ok_and(|output| output.status.success()) {
            eprintln!("the database in {} was left behind", self.folder.display());
        }
    }
}
