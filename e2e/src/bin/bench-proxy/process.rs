//! What the kernel knows of a process.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// Ticks per second in /proc, whatever the kernel's own clock is: a constant of its interface.
const TICKS: f64 = 100.0;
/// Enough for a proxy with 10,000 clients, and for each of them a connection to the application.
const DESCRIPTORS: u64 = 40_000;

/// One line of /proc/PID/stat.
pub(crate) struct Stat {
    pub(crate) pid: Pid,
    pub(crate) group: Pid,
    zombie: bool,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
}

impl Stat {
    /// Of all processes that are there, but for those that have ended and are not yet reaped.
    pub(crate) fn all() -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc").context("listing processes")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has ended since the list was made is none.
            let Ok(line) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let stat = Self::parse(pid, &line).with_context(|| format!("reading /proc/{pid}/stat"))?;
            if !stat.zombie {
                all.push(stat);
            }
        }
        Ok(all)
    }

    /// The name, in parentheses, may hold anything, so the fields are counted from its end.
    fn parse(pid: i32, line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Self {
            pid: Pid::from_raw(pid),
            group: Pid::from_raw(fields.get(2)?.parse().ok()?),
            zombie: *fields.first()? == "Z",
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS,
        })
    }
}

/// The resident memory in MiB. From the mappings, as the kernel's running count may be off by some pages of each thread.
pub(crate) fn resident(pid: Pid) -> anyhow::Result<f64> {
    let path = folder(pid).join("smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"));
    let kibibytes: f64 = kibibytes.context("there is no Rss in smaps_rollup")?.parse()?;
    Ok(kibibytes / 1024.0)
}

/// How many descriptors are open.
pub(crate) fn descriptors(pid: Pid) -> anyhow::Result<usize> {
    Ok(fs::read_dir(folder(pid).join("fd")).context("listing descriptors")?.count())
}

/// Allows this program, and with it all that it starts, enough descriptors; as many as it may where that is less.
pub(crate) fn allow_descriptors() -> anyhow::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    match setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS.max(most)) {
        Err(Errno::EPERM) => setrlimit(Resource::RLIMIT_NOFILE, most, most),
        set => set,
    }
    .context("raising the limit of open descriptors")
}

fn folder(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) Z (b) S 1 40 40 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 900 1000 10";
        let stat = Stat::parse(42, line).unwrap();
        assert_eq!((stat.group, stat.zombie, stat.cpu_seconds), (Pid::from_raw(40), false, 2.0));
    }
}
