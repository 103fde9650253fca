//! Traefik: swapped by a file that it watches.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::site::Site;

/// A certificate that nobody is shown: without one, Traefik makes an RSA key at every change of its configuration, which
/// takes a core 100 ms and more, and every request as long. A site with HTTPS has one.
const CERTIFICATE: [&str; 13] = [
    "req",
    "-x509",
    "-nodes",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-subj",
    "/CN=bench.example",
    "-keyout",
    "key.pem",
    "-out",
    "certificate.pem",
];

pub(crate) fn arguments(site: &Site, target: SocketAddr) -> anyhow::Result<Vec<String>> {
    let mut openssl = Command::new("openssl");
    openssl.args(CERTIFICATE).current_dir(site.folder());
    openssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ensure!(openssl.status().context("starting openssl")?.success(), "openssl has made no certificate");
    site.configure("traefik.yaml", "traefik.yaml", target)?;
    swap(site, target)?;
    Ok(vec![format!("--configFile={}", site.path("traefik.yaml").display())])
}

pub(crate) fn swap(site: &Site, target: SocketAddr) -> anyhow::Result<()> {
    site.configure("traefik.dynamic.yaml", "dynamic/app.yaml", target)
}
