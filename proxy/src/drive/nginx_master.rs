use std::convert::Infallible;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, chroot, kill_process};
use tokio::process::Command;

/// What nginx calls its processes (`ngx_setproctitle`), and how it begins.
const MASTER: &str = "nginx: master process";
const WORKER: &str = "nginx: worker process";
/// A worker of this title has closed its listening sockets and its idle connections, or is just about to.
const LEAVING: &str = "is shutting down";

/// The master process of the host's nginx. It is found anew each time, as it may be started anew.
#[derive(Clone, Debug)]
pub(super) struct Master {
    pid_file: PathBuf,
    test: Vec<String>,
}

/// One of its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pid: i32,
    /// Whether it accepts nothing more, and ends what it has.
    pub(super) leaving: bool,
}

impl Master {
    pub(super) fn new(pid_file: PathBuf, test: &str) -> Self {
        Self { pid_file, test: test.split_ascii_whitespace().map(str::to_owned).collect() }
    }

    /// # Errors
    ///
    /// In words: it doesn't run.
    pub(super) fn runs(&self) -> Result<(), String> {
        self.pid().map(drop)
    }

    /// Has it read its configuration anew.
    ///
    /// # Errors
    ///
    /// In words: it doesn't run, or can't be told.
    pub(super) fn reload(&self) -> Result<(), String> {
        let pid = self.pid()?;
        kill_process(pid, Signal::HUP).map_err(|error| format!("nginx can't be told to reload: {error}"))
    }

    /// Its workers.
    ///
    /// # Errors
    ///
    /// In words: it doesn't run, or its processes can't be seen.
    pub(super) fn workers(&self) -> Result<Vec<Worker>, String> {
        let master = self.pid()?;
        let processes = std::fs::read_dir("/proc").map_err(|error| format!("reading /proc: {error}"))?;
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(pids.filter(|pid| parent(*pid) == Some(master)).filter_map(worker).collect())
    }

    /// Has nginx's own program test the configuration that is there, in the root folder of the master where that isn't the
    /// one of this process.
    ///
    /// # Errors
    ///
    /// What it says.
    pub(super) async fn test(&self) -> Result<(), String> {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()?.as_raw_nonzero()));
        let mut words = self.test.iter();
        let program = words.next().ok_or("no command tests the configuration")?;
        let mut command = if is_own_root(&root) {
            Command::new(program)
        } else {
            let mut command = Command::new("/proc/self/exe");
            command.arg("enter").arg(&root).arg(program);
            command
        };
        let tested = command.args(words).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let tested = tested.map_err(|error| format!("{} can't be run: {error}", self.test.join(" ")))?;
        if tested.status.success() {
            return Ok(());
        }
        let words = [tested.stdout, tested.stderr].concat();
        Err(String::from_utf8_lossy(&words).trim().to_owned())
    }

    fn pid(&self) -> Result<Pid, String> {
        let path = self.pid_file.display();
        let text = std::fs::read_to_string(&self.pid_file)
            .map_err(|error| format!("no nginx runs: {path}: {error}"))?;
        let pid = text.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| format!("{path} holds no number of a process"))?;
        if title(pid.as_raw_nonzero().get()).is_some_and(|title| title.starts_with(MASTER)) {
            Ok(pid)
        } else {
            Err(format!("no nginx runs: process {} of {path} is no master of one", pid.as_raw_nonzero()))
        }
    }
}

impl Worker {
    /// Whether it is still among some workers, and takes what comes.
    pub(super) fn accepts(&self, now: &[Self]) -> bool {
        now.iter().any(|other| other.pid == self.pid && !other.leaving)
    }
}

/// What a child of the master is by its title: one that was just forked still has the master's.
fn worker(pid: i32) -> Option<Worker> {
    let title = title(pid)?;
    if title.starts_with(WORKER) {
        Some(Worker { pid, leaving: title.contains(LEAVING) })
    } else {
        title.starts_with(MASTER).then_some(Worker { pid, leaving: false })
    }
}

fn title(pid: i32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// The fourth field of the line (proc(5)), counted from behind the name, which may hold anything.
fn parent(pid: i32) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Pid::from_raw(stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?)
}

fn is_own_root(root: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(root).is_some_and(|theirs| identity(Path::new("/")) == Some(theirs))
}

/// Runs a program in the place of this one, in another root folder.
///
/// # Errors
///
/// When the folder or the program isn't there, or this process may not do that.
pub fn enter(root: &Path, program: &str, arguments: &[String]) -> io::Result<Infallible> {
    chroot(root)?;
    std::env::set_current_dir("/")?;
    Err(std::process::Command::new(program).args(arguments).exec())
}
