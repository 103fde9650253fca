//! A rehearsal: all phases of all migrations on a copy of the database, and what they did to it.

use cutover_core::{Engine, HeldLock, Rehearsed, Span};
use tokio::sync::mpsc::UnboundedSender;

use crate::{Error, Limits, Progress, Step, Target, Work, apply, mysql, postgres};

/// Runs what `original` lacks, all phases of it, on `copy`. Where it lacks nothing, nothing is done.
///
/// What [`Limits::hold`] allows is judged in each transaction before it is committed: one that has held a lock for longer is rolled
/// back, so that it is judged again the next time.
///
/// # Errors
/// Those of [`apply()`]; a lock that is held for too long; a copy that is the database itself, where nothing is done.
pub async fn rehearse(
    copy: Target<'_>,
    original: Target<'_>,
    work: &Work,
    limits: &Limits,
    progress: &UnboundedSender<Progress>,
) -> Result<(), Error> {
    let (is_same, lacks) = match work.engine {
        Engine::Postgresql => {
            let mark = postgres::Mark::set(original, limits).await?;
            let seen = (mark.is_in(copy, limits).await?, mark.lacks(work).await?);
            mark.remove().await;
            seen
        }
        Engine::Mysql | Engine::Mariadb => {
            let mut mark = mysql::Mark::set(original, work, limits).await?;
            let seen = (mark.is_in(copy, work, limits).await?, mark.lacks(work).await?);
            mark.remove().await;
            seen
        }
    };
    if is_same {
        return Err(Error::NoCopy);
    }
    if lacks {
        for step in [Step::Expand, Step::Backfill, Step::Contract] {
            apply(copy, step, work, limits, progress).await?;
        }
    }
    Ok(())
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
