use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use ulid::Ulid;

use super::Error;

/// The environment variable in which every process of a control plane carries the id of its run.
pub(super) const RUN_VARIABLE: &str = "CUTOVER_RUN";

/// Between SIGKILL and the end of a process.
const KILL_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// One run of a control plane, from `up` to `down`.
///
/// The supervisor and all that descends from it carry its id in their environment, which the kernel keeps readable
/// (proc(5), `/proc/pid/environ`). So what belongs to a run is found even after its supervisor was killed, and a pid
/// that the kernel has meanwhile given to somebody else is never mistaken for ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run(String);

impl Run {
    /// A run that there never was.
    pub(super) fn begin() -> Self {
        Self(Ulid::generate().to_string())
    }

    /// The value of [`RUN_VARIABLE`].
    pub(super) fn id(&self) -> &str {
        &self.0
    }

    /// Whether a process is alive and belongs to this run. One of another user never does.
    pub(super) fn owns(&self, pid: u32) -> bool {
        let mark = format!("{RUN_VARIABLE}={}", self.0);
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
        })
    }

    /// The processes of this run that are alive.
    pub(super) fn processes(&self) -> Result<Vec<u32>, Error> {
        let entries = fs::read_dir("/proc").map_err(Error::file("list", "/proc"))?;
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(pids.filter(|&pid| self.owns(pid)).collect())
    }

    /// Asks one process of this run to end, and waits until it has or the limit is over. Answers whether it has.
    pub(super) async fn terminate(&self, pid: u32, limit: Duration) -> bool {
        self.signal(pid, Signal::SIGTERM);
        let began = Instant::now();
        while self.owns(pid) {
            if began.elapsed() > limit {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }

    /// Asks every process of this run to end, kills those that haven't within `grace`, and answers how many there were.
    pub(super) async fn take_down(&self, grace: Duration) -> Result<usize, Error> {
        let processes = self.processes()?;
        if self.end_all(Signal::SIGTERM, grace).await? || self.end_all(Signal::SIGKILL, KILL_LIMIT).await? {
            return Ok(processes.len());
        }
        let left = self.processes()?;
        let pids = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::Undead { count: left.len(), pids, limit: KILL_LIMIT })
    }

    /// Answers whether all have ended within the limit.
    async fn end_all(&self, signal: Signal, limit: Duration) -> Result<bool, Error> {
        for pid in self.processes()? {
            self.signal(pid, signal);
        }
        let began = Instant::now();
        while !self.has_ended().await? {
            if began.elapsed() > limit {
                return Ok(false);
            }
            sleep(POLL).await;
        }
        Ok(true)
    }

    /// Looks twice: between exec(2) and the first instruction of a process, the kernel shows no environment.
    async fn has_ended(&self) -> Result<bool, Error> {
        if !self.processes()?.is_empty() {
            return Ok(false);
        }
        sleep(POLL).await;
        Ok(self.processes()?.is_empty())
    }

    fn signal(&self, pid: u32, signal: Signal) {
        let Ok(id) = i32::try_from(pid) else { return };
        if self.owns(pid)
            && let Err(error) = kill(Pid::from_raw(id), signal)
        {
            // It has ended in between, or the wait that follows will tell that it hasn't.
            tracing::debug!(pid, %signal, %error, "a process was not signalled");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::process::{Child, Command};

    use super::*;

    async fn sleeper(run: &Run) -> Child {
        let child =
            Command::new("sleep").arg("60").env(RUN_VARIABLE, run.id()).kill_on_drop(true).spawn().unwrap();
        wait_for(run, 1).await;
        child
    }

    async fn wait_for(run: &Run, processes: usize) {
        let wait = async {
            while run.processes().unwrap().len() < processes {
                sleep(POLL).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    }

    #[tokio::test]
    async fn only_what_carries_its_id_belongs_to_a_run() {
        let (ours, theirs) = (Run::begin(), Run::begin());
        let mut child = sleeper(&ours).await;
        let pid = child.id().unwrap();
        assert!(ours.owns(pid));
        assert!(!theirs.owns(pid), "a recycled pid would be mistaken");
        assert!(!ours.owns(std::process::id()));
        assert_eq!(ours.processes().unwrap(), [pid]);
        child.kill().await.unwrap();
        assert!(!ours.owns(pid), "an ended process is not alive");
    }

    #[tokio::test]
    async fn a_run_is_taken_down_with_what_its_processes_have_started() {
        let (run, other) = (Run::begin(), Run::begin());
        let bystander = sleeper(&other).await;
        let script = "trap '' TERM; sleep 60 & wait; wait";
        let stubborn =
            Command::new("sh").args(["-c", script]).env(RUN_VARIABLE, run.id()).kill_on_drop(true).spawn();
        let _stubborn = stubborn.unwrap();
        wait_for(&run, 2).await;
        assert_eq!(run.take_down(Duration::from_millis(200)).await.unwrap(), 2);
        assert!(run.processes().unwrap().is_empty());
        assert!(other.owns(bystander.id().unwrap()), "a stranger was taken down");
    }
}
