//! The shippers of a control plane, as the kernel knows them.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use cutover_e2e::{ControlPlane, dist};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running one.
pub(crate) struct Shipper {
    pid: i32,
}

impl Shipper {
    /// All that this control plane has started.
    pub(crate) fn all_of(plane: &ControlPlane) -> anyhow::Result<Vec<Self>> {
        let program = dist().join("cutover-shipper").canonicalize()?;
        let home = plane.home().to_string_lossy().into_owned();
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let folder: PathBuf = entry.path();
            // What has ended meanwhile, or is a thread of the kernel, is none.
            let (Ok(exe), Ok(environment)) =
                (folder.join("exe").canonicalize(), fs::read(folder.join("environ")))
            else {
                continue;
            };
            if exe == program && String::from_utf8_lossy(&environment).contains(&home) {
                all.push(Self { pid });
            }
        }
        Ok(all)
    }

    /// The most memory that it has had, in MiB: `VmHWM` of proc(5).
    pub(crate) fn peak(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        Ok(peak.context("no VmHWM")?.trim().parse::<u64>()? / 1024)
    }

    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(self.pid), Signal::SIGKILL)?)
    }
}
