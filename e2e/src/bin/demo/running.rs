//! A `cutover` command that runs while something happens to it, to its hosts or to the programs.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use cutover_e2e::{ControlPlane, Ended};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// The command. It has no terminal: what is told in between would tear the tree that it draws there.
pub(crate) struct Running {
    child: Child,
    out: JoinHandle<String>,
    err: JoinHandle<String>,
}

impl Running {
    /// Starts it; whatever it says is shown.
    pub(crate) fn start(plane: &ControlPlane, folder: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::from(plane.command(folder, arguments))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("no cutover: run scripts/build.sh")?;
        let out = tokio::spawn(show(child.stdout.take()));
        let err = tokio::spawn(show(child.stderr.take()));
        Ok(Self { child, out, err })
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> anyhow::Result<Ended> {
        let status = self.child.wait().await?;
        Ok(Ended { code: status.code(), out: self.out.await?, err: self.err.await? })
    }

    /// Kills it, by SIGKILL; answers with the process that it was.
    pub(crate) async fn kill(mut self) -> anyhow::Result<Pid> {
        let pid = self.child.id().context("the command has ended before it was killed")?;
        self.child.kill().await?;
        let _ = (self.out.await?, self.err.await?);
        Ok(Pid::from_raw(pid.try_into()?))
    }
}

/// Shows each line as it comes; answers with all of them.
async fn show(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut said = String::new();
    let Some(from) = from else { return said };
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        println!("    {line}");
        said.push_str(&line);
        said.push('\n');
    }
    said
}
