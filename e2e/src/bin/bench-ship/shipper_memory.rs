//! How much memory the shipper takes for a large image, of which no layer can be compressed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use cutover_e2e::{App, ControlPlane, Host, Project, dist};

/// Deploys an image of so many MiB, and prints the most memory that the shipper had, as the kernel counts it.
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
    let peak = peak_of_shipper(&plane)?;
    println!("\nthe shipper, for an image of {mebibytes} MiB: {peak} MiB of memory at most");
    Ok(())
}

/// `VmHWM` of the shipper of this control plane, in MiB (proc(5)).
fn peak_of_shipper(plane: &ControlPlane) -> anyhow::Result<u64> {
    let (program, home) =
        (dist().join("cutover-shipper").canonicalize()?, plane.home().to_string_lossy().into_owned());
    for entry in fs::read_dir("/proc")? {
        let folder: PathBuf = entry?.path();
        // What has ended meanwhile, or is a kernel's thread, isn't it.
        let (Ok(exe), Ok(environment)) =
            (folder.join("exe").canonicalize(), fs::read(folder.join("environ")))
        else {
            continue;
        };
        if exe == program && String::from_utf8_lossy(&environment).contains(&home) {
            let status = fs::read_to_string(folder.join("status"))?;
            let peak =
                status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            return Ok(peak.context("no VmHWM")?.trim().parse::<u64>()? / 1024);
        }
    }
    anyhow::bail!("no shipper of this control plane runs")
}
