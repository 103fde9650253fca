//! A hook as a process: in a group of its own, which ends with it when it must.

use std::fmt;
use std::io::{self, stderr};
use std::os::fd::AsFd;
use std::path::{Path, absolute};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cutover_core::Span;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::exit::Exit;
use crate::follow::Interrupt;

/// How long one that is to end has for what it has begun, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How a hook ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Good,
    /// It said that something is wrong, or was killed by somebody else.
    Failed(ExitStatus),
    /// It was ended.
    TooLong(Span),
    Interrupted(Exit),
    /// It could not be run.
    NotRun(io::Error),
}

impl Ending {
    pub(super) const fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("went well"),
            Self::Failed(status) => write!(f, "failed, {status}"),
            Self::TooLong(limit) => write!(f, "took longer than {limit} and was ended"),
            Self::Interrupted(_) => f.write_str("was interrupted and ended"),
            Self::NotRun(error) => write!(f, "can't be run: {error}"),
        }
    }
}

/// The command, to be run in a folder, by its words. What it writes is seen as it comes, on standard error: standard output has
/// the results of `cutover`.
pub(super) fn command(program: &str, arguments: &[String], folder: &Path) -> io::Result<Command> {
    let folder = absolute(folder)?;
    // A name alone is looked for in PATH; a path is one of the folder.
    let program = if program.contains('/') { folder.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(stderr().as_fd().try_clone_to_owned()?)
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// Waits until it has ended; after the limit, and when a signal comes, it is ended with all that it has started.
pub(super) async fn wait(mut child: Child, limit: Span, interrupt: &mut Interrupt) -> Ending {
    let why = tokio::select! {
        ended = child.wait() => return match ended {
            Ok(status) if status.success() => Ending::Good,
            Ok(status) => Ending::Failed(status),
            Err(error) => Ending::NotRun(error),
        },
        () = tokio::time::sleep(limit.0) => Ending::TooLong(limit),
        exit = interrupt.signal() => Ending::Interrupted(exit),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    // Whoever is gone already needs no signal.
    let _ = group.map(|group| killpg(group, Signal::SIGTERM));
    let _ = timeout(GRACE, child.wait()).await;
    let _ = group.map(|group| killpg(group, Signal::SIGKILL));
    let _ = child.wait().await;
    why
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    /// Runs a script of a folder.
    async fn run(script: &str, limit: Span, folder: &Path) -> Ending {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let child = command("sh", &arguments, folder).unwrap().spawn().unwrap();
        wait(child, limit, &mut Interrupt::catch().unwrap()).await
    }

    #[tokio::test]
    async fn what_it_says_is_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let long = Span::seconds(600);
        assert!(run("pwd > here; read line || true", long, folder.path()).await.is_good());
        let here = fs::read_to_string(folder.path().join("here")).unwrap();
        assert_eq!(Path::new(here.trim()), folder.path().canonicalize().unwrap());
        let failed = run("exit 3", long, folder.path()).await;
        assert_eq!(failed.to_string(), "failed, exit status: 3");
        // A path is one of the folder, whatever this process's own is.
        fs::write(folder.path().join("script"), "#!/bin/sh\n").unwrap();
        let refused = command("./script", &[], folder.path()).unwrap().spawn();
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn one_that_takes_too_long_ends_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        // The child of the shell takes no notice of a request to end.
        let script = "sh -c 'trap \"\" TERM; echo $$ > child; exec sleep 600' & wait";
        let arguments = ["-c".to_owned(), script.to_owned()];
        let hook = command("sh", &arguments, folder.path()).unwrap().spawn().unwrap();
        let child = loop {
            match fs::read_to_string(folder.path().join("child")) {
                Ok(child) if child.ends_with('\n') => break Path::new("/proc").join(child.trim()),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let limit = Span::millis(1);
        let ended = wait(hook, limit, &mut Interrupt::catch().unwrap()).await;
        assert!(matches!(ended, Ending::TooLong(was) if was == limit), "{ended}");
        // Killed, it is there until somebody asks how it ended: whoever has taken it over.
        let is_gone = || {
            let stat = fs::read_to_string(child.join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
        };
        while !is_gone() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
