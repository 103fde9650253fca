//! An installation of the programs of the demonstration's own, in which one can be replaced while it runs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cutover_core::Program;
use cutover_e2e::dist;
use nix::unistd::Pid;
use tempfile::TempDir;

/// A folder with all programs. It goes when this is dropped.
pub(crate) struct Installation {
    _folder: TempDir,
    /// Where it really is: the kernel names executables so.
    path: PathBuf,
}

impl Installation {
    /// Installs what was built.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let dist = dist().canonicalize().context("nothing is built: run scripts/build.sh")?;
        // Beside what was built, so on the same disk: a link is enough.
        let beside = dist.parent().unwrap_or(&dist);
        let folder = tempfile::Builder::new().prefix("demo-").tempdir_in(beside)?;
        let path = folder.path().canonicalize()?;
        for entry in fs::read_dir(&dist)? {
            let entry = entry?;
            fs::hard_link(entry.path(), path.join(entry.file_name()))?;
        }
        Ok(Self { _folder: folder, path })
    }

    /// Where the programs are.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts another file in the place of a program, in one step, as a package manager does. What runs is not touched: it
    /// goes on from the file that was there.
    pub(crate) fn replace(&self, program: Program) -> anyhow::Result<()> {
        let path = self.path.join(program.binary());
        let new = path.with_extension("new");
        fs::copy(&path, &new)?;
        fs::rename(&new, &path)?;
        Ok(())
    }

    /// The processes that still run from a file of this program that was replaced.
    pub(crate) fn outdated(&self, program: Program) -> anyhow::Result<Vec<Pid>> {
        let path = self.path.join(program.binary()).into_os_string();
        let mut replaced = path;
        // proc_pid_exe(5): so it calls the executable of a process whose name was taken by another file.
        replaced.push(" (deleted)");
        let mut outdated = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process may end in between.
            if fs::read_link(executable(Pid::from_raw(pid))).is_ok_and(|link| link.as_os_str() == replaced) {
                outdated.push(Pid::from_raw(pid));
            }
        }
        Ok(outdated)
    }

    /// Whether a process runs from the file of this program that is there now.
    pub(crate) fn is_current(&self, program: Program, pid: Pid) -> io::Result<bool> {
        let (there, its) = (fs::metadata(self.path.join(program.binary()))?, fs::metadata(executable(pid))?);
        Ok((there.dev(), there.ino()) == (its.dev(), its.ino()))
    }
}

fn executable(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}
