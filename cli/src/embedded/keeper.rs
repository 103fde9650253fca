use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Error, log_file};

/// Between SIGTERM and SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Keeps one process running until it is told to stop.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    /// The name of the process in front of people.
    pub(super) name: String,
    /// What it runs.
    pub(super) binary: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<OsString>,
    /// What it is told beside the supervisor's own environment.
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// The folder that it runs in.
    pub(super) folder: PathBuf,
    /// Where its output goes.
    pub(super) log: PathBuf,
}

/// The pauses between restarts: they double, and begin anew after a process has lived for a while.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(200);
    const LAST: Duration = Duration::from_secs(5);
    const LIVED: Duration = Duration::from_secs(10);

    /// The pause after a process that has lived for so long.
    fn after(&mut self, life: Duration) -> Duration {
        let pause = if life < Self::LIVED { self.0 } else { Self::FIRST };
        self.0 = (pause * 2).min(Self::LAST);
        pause
    }
}

impl Keeper {
    /// Starts the process, and again whenever it ends, until `stop`; then it gets SIGTERM and, after 10 s, SIGKILL.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let mut backoff = Backoff(Backoff::FIRST);
        while !stop.is_cancelled() {
            let began = Instant::now();
            match self.start() {
                Ok(child) => self.watch(child, &stop).await,
                Err(error) => tracing::error!(process = self.name, %error, "a process was not started"),
            }
            let pause = backoff.after(began.elapsed());
            stop.run_until_cancelled(sleep(pause)).await;
        }
    }

    fn start(&self) -> Result<Child, Error> {
        let log = log_file::open(&self.log)?;
        let errors = log.try_clone().map_err(Error::file("open", &self.log))?;
        let child = Command::new(&self.binary)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // Processes of one machine can't all serve metrics at the one address that the user may have set.
            .env_remove("CUTOVER_METRICS")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Start { binary: self.binary.clone(), source })?;
        tracing::info!(process = self.name, pid = child.id(), "started");
        Ok(child)
    }

    /// Waits until the process ends, by itself or because it was told to.
    async fn watch(&self, mut child: Child, stop: &CancellationToken) {
        match stop.run_until_cancelled(child.wait()).await {
            None => self.end(child).await,
            Some(Ok(status)) => tracing::warn!(process = self.name, %status, "a process ended by itself"),
            Some(Err(error)) => tracing::error!(process = self.name, %error, "a process can't be waited for"),
        }
    }

    async fn end(&self, mut child: Child) {
        // A child that nobody has waited for keeps its pid: this can't hit a stranger.
        if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok())
            && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGTERM)
        {
            tracing::debug!(process = self.name, %error, "SIGTERM was not delivered");
        }
        match timeout(GRACE, child.wait()).await {
            Ok(Ok(status)) => tracing::info!(process = self.name, %status, "stopped"),
            Ok(Err(error)) => tracing::error!(process = self.name, %error, "a process can't be waited for"),
            Err(_) => {
                tracing::warn!(
                    process = self.name,
                    "still running {} s after SIGTERM: killed",
                    GRACE.as_secs()
                );
                if let Err(error) = child.kill().await {
                    tracing::error!(process = self.name, %error, "a process was not killed");
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn shell(folder: &Path, script: &str) -> Keeper {
        Keeper {
            name: "shell".to_owned(),
            binary: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("GREETING", "hello".into())],
            folder: folder.to_owned(),
            log: folder.join("shell.log"),
        }
    }

    async fn until(condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), wait).await.unwrap();
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew_after_a_life() {
        let mut backoff = Backoff(Backoff::FIRST);
        let pauses: Vec<_> = (0..7).map(|_| backoff.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.after(Backoff::LIVED), Backoff::FIRST);
        assert_eq!(backoff.after(Duration::ZERO), 2 * Backoff::FIRST);
    }

    #[tokio::test]
    async fn a_process_that_ends_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = shell(folder.path(), "echo $GREETING; exit 3");
        let (log, stop) = (keeper.log.clone(), CancellationToken::new());
        let task = tokio::spawn(keeper.keep(stop.clone()));
        until(|| fs::read_to_string(&log).is_ok_and(|text| text.starts_with("hello\nhello\n"))).await;
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_process_is_asked_to_stop_and_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let keeper =
            shell(folder.path(), "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.02; done");
        let (log, stop) = (keeper.log.clone(), CancellationToken::new());
        let task = tokio::spawn(keeper.keep(stop.clone()));
        until(|| fs::read_to_string(&log).is_ok_and(|text| text == "ready\n")).await;
        stop.cancel();
        task.await.unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "ready\nbye\n");
    }

    #[tokio::test]
    async fn a_missing_binary_does_not_end_the_keeper() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper { binary: "/nowhere".into(), ..shell(folder.path(), "") };
        let stop = CancellationToken::new();
        let task = tokio::spawn(keeper.keep(stop.clone()));
        stop.cancel();
        task.await.unwrap();
    }
}
