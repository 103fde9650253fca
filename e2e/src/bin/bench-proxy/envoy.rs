//! Envoy: swapped by a file of endpoints that is moved in place.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;

use crate::site::Site;

/// The file that tells the id under which the first process and those that take over from it meet.
const BASE_ID: &str = "base-id";
/// How long the first process goes on with open connections, in seconds.
const DRAIN: &str = "1";
/// When the first process ends, in seconds after the second one has taken over.
const END: &str = "2";

pub(crate) fn arguments(site: &Site, target: SocketAddr) -> anyhow::Result<Vec<String>> {
    site.configure("envoy.yaml", "envoy.yaml", target)?;
    swap(site, target)?;
    let mut arguments = common(site);
    let path = site.path(BASE_ID).display().to_string();
    arguments.extend(["--use-dynamic-base-id", "--base-id-path", &path].map(str::to_owned));
    Ok(arguments)
}

/// For the process that takes over from the first one.
pub(crate) fn second_arguments(site: &Site) -> anyhow::Result<Vec<String>> {
    let id = base_id(site).context("Envoy has told no base id")?;
    let mut arguments = common(site);
    arguments.extend(["--base-id", &id, "--restart-epoch", "1"].map(str::to_owned));
    Ok(arguments)
}

pub(crate) fn swap(site: &Site, target: SocketAddr) -> anyhow::Result<()> {
    site.configure("endpoints.yaml", "endpoints.yaml", target)
}

/// Takes away the shared memory that processes of one id leave behind.
pub(crate) fn forget(site: &Site) {
    // None is there where Envoy has not come that far.
    if let Some(id) = base_id(site).and_then(|id| id.parse::<u64>().ok()) {
        let _ = fs::remove_file(PathBuf::from(format!("/dev/shm/envoy_shared_memory_{}", id * 10)));
    }
}

fn base_id(site: &Site) -> Option<String> {
    fs::read_to_string(site.path(BASE_ID)).ok().map(|id| id.trim().to_owned())
}

fn common(site: &Site) -> Vec<String> {
    let configuration = site.path("envoy.yaml").display().to_string();
    let all = ["--config-path", &configuration, "--concurrency", "1", "--log-level", "error"];
    let ends = ["--drain-time-s", DRAIN, "--parent-shutdown-time-s", END];
    all.iter().chain(&ends).map(|&argument| argument.to_owned()).collect()
}
