//! A rehearsal: all phases of all migrations on a copy of the database, and what they did to it.

use cutover_core::{Engine, HeldLock, Rehearsed, Span};
use tokio::sync::mpsc::UnboundedSender;

use crate::{Error, Limits, Progress, Step, Target, Work, mysql, postgres};

/// All that is rehearsed.
const STEPS: [Step; 3] = [Step::Expand, Step::Backfill, Step::Contract];

/// Runs what `original` lacks, all phases of it, on `copy`. Where it lacks nothing, nothing is done.
///
/// `original` is marked for as long as this lasts, and each session that is to work in the copy looks for the mark before it does
/// anything: whatever the copy's name leads to by then, it isn't the database.
///
/// What [`Limits::hold`] allows is judged in each transaction before it is committed: one that has held a lock for longer is rolled
/// back, so that it is judged again the next time.
///
/// # Errors
/// Those of [`crate::apply()`]; a lock that is held for too long; a copy that is the database itself, or isn't apart from it, where
/// nothing is done.
pub async fn rehearse(
    copy: Target<'_>,
    original: Target<'_>,
    work: &Work,
    limits: &Limits,
    progress: &UnboundedSender<Progress>,
) -> Result<(), Error> {
    match work.engine {
        Engine::Postgresql => {
            if postgres::share_a_server(copy, original)? {
                return Err(Error::NoCopy);
            }
            let mark = postgres::Mark::set(original, limits).await?;
            let run = async {
                mark.open_apart(copy, limits).await?.close().await;
                if mark.lacks(work).await? {
                    for step in STEPS {
                        let session = mark.open_apart(copy, limits).await?;
                        postgres::apply_in(session, copy, step, work, limits, progress).await?;
                    }
                }
                Ok(())
            };
            let ended = Box::pin(run).await;
            mark.remove().await;
            ended
        }
        Engine::Mysql | Engine::Mariadb => {
            if mysql::share_a_server(copy, original)? {
                return Err(Error::NoCopy);
            }
            let mut mark = mysql::Mark::set(original, work.engine, limits).await?;
            let run = async {
                mark.open_apart(copy, limits).await?.close().await;
                if mark.lacks(work).await? {
                    for step in STEPS {
                        let session = mark.open_apart(copy, limits).await?;
                        mysql::apply_in(session, copy, step, work, limits, progress).await?;
                    }
                }
                Ok(())
            };
            let ended = Box::pin(run).await;
            mark.remove().await;
            ended
        }
    }
}

/// What is seen of a rehearsal by who listens to it.
#[derive(Debug, Default)]
pub struct Protocol {
    done: Vec<Rehearsed>,
    rows: u64,
    locks: Vec<HeldLock>,
}

impl Protocol {
    /// Takes in what is told; what is seen at the end of each part is answered.
    pub fn hear(&mut self, progress: &Progress) -> Option<&Rehearsed> {
        match progress {
            Progress::Began { .. } => (self.rows, self.locks) = (0, Vec::new()),
            Progress::Filled { rows, .. } => self.rows = *rows,
            Progress::Changed { rows, locks, .. } => (self.rows, self.locks) = (*rows, locks.clone()),
            Progress::Applied { file, took, .. } => {
                let locks = std::mem::take(&mut self.locks);
                self.done.push(Rehearsed {
                    migration: file.clone(),
                    took: Span(*took),
                    rows: std::mem::take(&mut self.rows),
                    locks,
                    hazards: Vec::new(),
                });
                return self.done.last();
            }
            _ => {}
        }
        None
    }

    /// All that was done, in its order.
    pub fn done(self) -> Vec<Rehearsed> {
        self.done
    }
}
