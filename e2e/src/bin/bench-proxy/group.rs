//! A program and all that it starts, as a process group: measured as a whole, ended as a whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::cores::Core;
use crate::process::{self, Stat};

/// How long a program may take to end once it was asked to: longer than any of them lets connections go on by default.
const END_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Group {
    /// As long as it isn't waited for, its id is nobody else's, even after its end; nor is the group's.
    leader: Child,
    id: Pid,
    log: PathBuf,
}

impl Group {
    /// Starts a program on a core, with a folder that it may take for its home; what it says goes to a file there.
    pub(crate) fn start(
        core: Core,
        program: &Path,
        arguments: &[String],
        home: &Path,
    ) -> anyhow::Result<Self> {
        let log = home.join("output.log");
        let output = File::options().create(true).append(true).open(&log)?;
        // It becomes the program, and keeps its process id.
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.number()]).arg(program).args(arguments);
        command.current_dir(home).env("HOME", home);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let leader = command.process_group(0).spawn().context("starting taskset")?;
        let id = leader.id().context("the process has no id")?;
        Ok(Self { leader, id: Pid::from_raw(id.try_into()?), log })
    }

    pub(crate) fn leader(&self) -> Pid {
        self.id
    }

    pub(crate) fn members(&self) -> anyhow::Result<Vec<Pid>> {
        Ok(self.stats()?.iter().map(|stat| stat.pid).collect())
    }

    /// User and system time of all that are in it, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        Ok(self.stats()?.iter().map(|stat| stat.cpu_seconds).sum())
    }

    /// Resident memory of all that are in it, in MiB. What a master and its workers share counts for each of them.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        self.members()?.into_iter().map(process::resident).sum()
    }

    /// Open descriptors of all that are in it.
    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        self.members()?.into_iter().map(process::descriptors).sum()
    }

    /// Fails, with the last lines that were said, where nobody is left.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.members()?.is_empty() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = said.lines().rev().take(10).collect();
            bail!("the program has ended: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        Ok(())
    }

    /// Waits until the program has ended by itself.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        timeout(END_LIMIT, self.leader.wait()).await.context("the program does not end")??;
        Ok(())
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.kill_all();
        self.ended().await
    }

    fn stats(&self) -> anyhow::Result<Vec<Stat>> {
        let mut stats = Stat::all()?;
        stats.retain(|stat| stat.group == self.id);
        Ok(stats)
    }

    /// It fails only where nobody is left.
    fn kill_all(&self) {
        let _ = killpg(self.id, Signal::SIGKILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once it was waited for, its id may be another's.
        if self.leader.id().is_some() {
            self.kill_all();
        }
    }
}
