//! A migrator in a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use cutover_migrator::{Limits, Progress, Step, Work, apply};
use cutover_secrets::Secret;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::sync::mpsc::unbounded_channel;

use crate::killed::Kind;
use crate::support::{migrations, phases};
use crate::{index, killed};

/// In its environment: the database, what it is to do, and the sequence of its claim.
const DATABASE: &str = "CUTOVER_TEST_DATABASE";
const TASK: &str = "CUTOVER_TEST_TASK";
const SEQUENCE: &str = "CUTOVER_TEST_SEQUENCE";

/// What it is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Build an index.
    Index,
    /// All phases.
    Phases,
    /// Bring rows over along a key of this kind.
    Backfill(Kind),
}

impl Task {
    const ALL: [Self; 6] = [
        Self::Index,
        Self::Phases,
        Self::Backfill(Kind::Bigint),
        Self::Backfill(Kind::Uuid),
        Self::Backfill(Kind::Text),
        Self::Backfill(Kind::Composite),
    ];

    fn name(self) -> String {
        format!("{self:?}")
    }

    /// Its migrations, under the claim `sequence`.
    pub(crate) fn work(self, sequence: u64) -> Work {
        let mut work = match self {
            Self::Index => migrations(&index::KILLED),
            Self::Phases => phases(&killed::PHASES),
            Self::Backfill(kind) => kind.work(),
        };
        work.epoch.sequence = sequence;
        work
    }

    /// Its steps, in order.
    pub(crate) fn steps(self) -> &'static [Step] {
        match self {
            Self::Index => &[Step::Expand],
            Self::Phases => &[Step::Expand, Step::BackfillBeforeSwitch, Step::Backfill, Step::Contract],
            Self::Backfill(_) => &[Step::Backfill],
        }
    }

    /// Batches so short that many of them fit between two kills.
    pub(crate) fn limits(self) -> Limits {
        Limits { batch: Duration::from_millis(4), rest: 1.0, ..Limits::default() }
    }
}

/// The process. It is killed when this is dropped, if it isn't yet.
pub(crate) struct Victim {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl Victim {
    pub(crate) fn start(database: &str, task: Task, sequence: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim::a_migrator_to_be_killed", "--ignored", "--nocapture"])
            .env(DATABASE, database)
            .env(TASK, task.name())
            .env(SEQUENCE, sequence.to_string())
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

#[tokio::test]
#[ignore = "run as a process of its own by the tests that kill it"]
async fn a_migrator_to_be_killed() {
    let (Ok(database), Ok(task), Ok(sequence)) =
        (std::env::var(DATABASE), std::env::var(TASK), std::env::var(SEQUENCE))
    else {
        return;
    };
    let task = Task::ALL.into_iter().find(|known| known.name() == task).unwrap();
    let work = task.work(sequence.parse().unwrap());
    let (progress, mut told) = unbounded_channel::<Progress>();
    let telling = tokio::spawn(async move {
        while let Some(progress) = told.recv().await {
            #[allow(clippy::print_stdout, reason = "whoever kills this process reads it")]
            {
                println!("{progress}");
            }
        }
    });
    let (database, limits) = (Secret::new(database), task.limits());
    for step in task.steps() {
        Box::pin(apply(&database, *step, &work, &limits, &progress)).await.unwrap();
    }
    drop(progress);
    telling.await.unwrap();
}
