//! The Git command: the real one, as it knows every way to a repository that people have set up.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::{Error, Result};

/// What a command of Git inherits from one that started us, as from a hook: it would look into that repository.
const INHERITED: [&str; 5] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"];

/// How SSH is used: it asks nobody, and talks to no host that isn't known. Overridden by `GIT_SSH_COMMAND`.
const SSH: &str = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes";

/// Settings of ours: nothing of the machine's own hooks runs, and no transport that is a command. What is checked out is somebody else's: a
/// folder in it that looks like a bare repository is none, and no command of its settings runs (git-config(1), `safe.bareRepository`).
const SETTINGS: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "safe.bareRepository=explicit",
    "protocol.ext.allow=never",
    "advice.detachedHead=false",
];

/// What a command of Git begins with in a folder whose files may be somebody else's, so that nothing in there runs.
pub fn git_settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.into_iter().flat_map(|setting| ["-c", setting])
}

/// Lines of what Git said that go into an error: the first ones, as what follows is advice.
const LINES: usize = 3;

/// How Git is run.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    /// How long one command may take.
    pub(crate) limit: Duration,
    /// The socket of the SSH agent that signs; none: that of the environment.
    pub(crate) agent: Option<PathBuf>,
    /// The file that the keys of hosts are verified against; none: those of the user and the machine.
    pub(crate) known_hosts: Option<PathBuf>,
}

impl Git {
    /// Runs a command and answers what it printed. `action` and `url` are for the error.
    pub(crate) async fn run<A: AsRef<OsStr>>(
        &self,
        folder: Option<&Path>,
        arguments: &[A],
        action: &'static str,
        url: &str,
    ) -> Result<String> {
        let mut command = Command::new("git");
        for name in INHERITED {
            command.env_remove(name);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        if std::env::var_os("GIT_SSH_COMMAND").is_none() {
            command.env("GIT_SSH_COMMAND", self.ssh());
        }
        if let Some(agent) = &self.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        command.args(git_settings());
        if let Some(folder) = folder {
            command.arg("-C").arg(folder);
        }
        let command = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
        let late = |_| Error::TimedOut { action, url: url.to_owned(), limit: self.limit };
        let output = timeout(self.limit, command).await.map_err(late)?.map_err(Error::NoGit)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let reason = lines.take(LINES).collect::<Vec<_>>().join("; ");
        Err(Error::Git { action, url: url.to_owned(), reason })
    }

    /// Git hands this to a shell, which hands it to ssh, which has quotes and `%` of its own (ssh_config(5)).
    fn ssh(&self) -> String {
        let Some(path) = &self.known_hosts else { return SSH.to_owned() };
        let path = path.to_string_lossy().replace('%', "%%").replace('\'', r"'\''");
        format!("{SSH} -o 'UserKnownHostsFile=\"{path}\"'")
    }
}
