//! Caddy: swapped by a whole configuration that is given to its admin API.

use std::net::SocketAddr;

use anyhow::ensure;
use hyper::Method;

use crate::ask::{Question, ask};
use crate::site::Site;

pub(crate) fn arguments(site: &Site, target: SocketAddr) -> anyhow::Result<Vec<String>> {
    site.configure("Caddyfile", "Caddyfile", target)?;
    let configuration = site.path("Caddyfile").display().to_string();
    Ok(["run", "--adapter", "caddyfile", "--config", &configuration].map(str::to_owned).to_vec())
}

/// Answered once the new configuration serves.
pub(crate) async fn swap(site: &Site, target: SocketAddr) -> anyhow::Result<()> {
    site.configure("Caddyfile", "Caddyfile", target)?;
    let body = std::fs::read(site.path("Caddyfile"))?;
    let content = Some(("text/caddyfile", body));
    let answer = ask(Question { address: site.admin, method: Method::POST, path: "/load", content }).await?;
    ensure!(answer.status.is_success(), "Caddy answered {} to a configuration", answer.status);
    Ok(())
}
