//! How much memory the shipper takes for a large image, of which no layer can be compressed.

use anyhow::{Context, ensure};
use cutover_e2e::{App, ControlPlane, Host, Project};

use crate::shipper::Shipper;

/// Deploys an image of so many MiB, and prints the most memory that the shipper had.
pub(crate) fn measure(mebibytes: u32) -> anyhow::Result<()> {
    let host = Host::up("ship-memory")?;
    let (plane, project) = (ControlPlane::up(&[&host], 1)?, Project::new()?);
    project.write(&App {
        payload: mebibytes,
        replicas: 1,
        soak: "0s",
        ..App::new("v1", &[&host.address])
    })?;
    for arguments in [["setup"].as_slice(), &["deploy", "--version", "large"]] {
        let ended = plane.run(project.folder(), arguments)?;
        ensure!(ended.code == Some(0), "cutover {}: {}{}", arguments.join(" "), ended.out, ended.err);
    }
    let shippers = Shipper::all_of(&plane)?;
    let peaks = shippers.iter().map(Shipper::peak).collect::<anyhow::Result<Vec<_>>>()?;
    let peak = peaks.into_iter().max().context("no shipper runs")?;
    println!("\nthe shipper, for an image of {mebibytes} MiB: {peak} MiB of memory at most");
    Ok(())
}
