//! A migrator in a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The process. It is killed when this is dropped, if it isn't yet.
pub(crate) struct Victim {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl Victim {
    /// Runs `test`, a test of this binary that is ignored otherwise, with `environment`.
    pub(crate) fn run(test: &str, environment: &[(&str, String)]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        Self { process, out }
    }

    /// Waits until it begins with a migration. False: it has ended.
    pub(crate) fn is_at_work(&mut self) -> bool {
        let mut line = String::new();
        while self.out.read_line(&mut line).unwrap() > 0 {
            if line.contains("applying") {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Whether it has ended, and done all.
    pub(crate) fn has_succeeded(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some_and(|status| status.success())
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&self) {
        let pid = Pid::from_raw(self.process.id().try_into().unwrap());
        nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
