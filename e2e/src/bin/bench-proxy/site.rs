//! Where one program runs: its folder, its ports, its configuration.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use cutover_e2e::root;
use tempfile::TempDir;

pub(crate) struct Site {
    folder: TempDir,
    /// Where HTTP/1.1 is served, and HTTP/2 by those that tell the two apart.
    pub(crate) http: SocketAddr,
    /// Where HTTP/2 is served by those that don't.
    pub(crate) http2: SocketAddr,
    /// Where configurations are taken by those that take them over HTTP.
    pub(crate) admin: SocketAddr,
}

impl Site {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let [http, http2, admin] = free_addresses()?;
        Ok(Self { folder: tempfile::tempdir()?, http, http2, admin })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a configuration for a proxy in front of an application.
    pub(crate) fn configure(&self, template: &str, name: &str, target: SocketAddr) -> anyhow::Result<()> {
        let ports = [("HTTP", self.http), ("HTTP2", self.http2), ("ADMIN", self.admin), ("TARGET", target)];
        let values = ports.map(|(name, address)| (name, address.port().to_string()));
        self.write(name, &self.fill(template, &values)?)
    }

    /// A template of e2e/peers with values in it.
    pub(crate) fn fill(&self, template: &str, values: &[(&str, String)]) -> anyhow::Result<String> {
        let path = root().join("e2e/peers").join(template);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut text = text.replace("{{FOLDER}}", &self.folder().display().to_string());
        for (name, value) in values {
            text = text.replace(&format!("{{{{{name}}}}}"), value);
        }
        ensure!(!text.contains("{{"), "{template} has a place that nothing fills");
        Ok(text)
    }

    /// Writes a file and moves it in place, so that who watches the place never reads half of it.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (whole, place) = (self.path("next"), self.path(name));
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&whole, text)?;
        fs::rename(&whole, &place).with_context(|| format!("moving {name} in place"))
    }
}

/// Addresses on the loopback that were free just now, all different.
pub(crate) fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut listeners = Vec::new();
    for _ in 0..N {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?);
    }
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (address, listener) in addresses.iter_mut().zip(&listeners) {
        *address = listener.local_addr()?;
    }
    Ok(addresses)
}
