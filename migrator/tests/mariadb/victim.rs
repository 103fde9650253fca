//! What a migrator in a process of its own is to do until it is killed.

use std::time::Duration;

use cutover_migrator::{Limits, Progress, Step, Work, apply};
use cutover_secrets::Secret;
use tokio::sync::mpsc::unbounded_channel;

use crate::killed::{self, Kind};
use crate::process::Victim;
use crate::resumed;
use crate::support::{migrations, phases};

/// In its environment: the database, what it is to do, and the sequence of its claim.
const DATABASE: &str = "CUTOVER_TEST_DATABASE";
const TASK: &str = "CUTOVER_TEST_TASK";
const SEQUENCE: &str = "CUTOVER_TEST_SEQUENCE";

/// What it is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Add an index, which takes a while.
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
        Self::Backfill(Kind::Binary),
        Self::Backfill(Kind::Text),
        Self::Backfill(Kind::Composite),
    ];

    fn name(self) -> String {
        format!("{self:?}")
    }

    /// Its migrations, under the claim `sequence`.
    pub(crate) fn work(self, sequence: u64) -> Work {
        let mut work = match self {
            Self::Index => migrations(&resumed::INDEX),
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

/// A migrator that does `task` under the claim `sequence`.
pub(crate) fn start(database: &str, task: Task, sequence: u64) -> Victim {
    let environment =
        [(DATABASE, database.to_owned()), (TASK, task.name()), (SEQUENCE, sequence.to_string())];
    Victim::run("victim::a_migrator_to_be_killed", &environment)
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
