//! The looks at one statement while it runs.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::Session;
use super::blockers::{Waiting, blockers, waiting};
use super::holders::Sight;
use super::observer::Watch;
use crate::{Backends, Fault, Progress};

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(1);

/// The looks at one statement of the session `watched`, from another one.
pub(super) struct Looks<'a> {
    session: &'a mut Session,
    sight: Sight,
    watched: u32,
    watch: Watch<'a>,
    end_blockers: Option<Duration>,
    begun: Instant,
    next: Duration,
    /// Whether it has had its lock, and goes on without one.
    builds: bool,
    /// Those that were ended: each once, as it takes a moment to be gone.
    ended: Vec<i64>,
    /// Who was last seen in its way.
    pub(super) seen: Backends,
    /// Why it is ended, once that was demanded.
    pub(super) cut: Option<Fault>,
}

impl<'a> Looks<'a> {
    /// Looks at what `watched` begins with now. Blockers that have been open for longer than `end_blockers` are ended.
    pub(super) fn new(
        session: &'a mut Session,
        sight: Sight,
        watched: u32,
        watch: Watch<'a>,
        end_blockers: Option<Duration>,
    ) -> Self {
        let (begun, next) = (Instant::now(), watch.first);
        let (ended, seen) = (Vec::new(), Backends::default());
        Self {
            session,
            sight,
            watched,
            watch,
            end_blockers,
            begun,
            next,
            builds: false,
            ended,
            seen,
            cut: None,
        }
    }

    /// Waits until the next look: more than once in the shortest wait, and less and less at what takes long.
    pub(super) async fn pause(&mut self) {
        if self.cut.is_some() {
            return std::future::pending().await;
        }
        let due = if self.builds { self.watch.statement } else { self.watch.lock.min(self.watch.statement) };
        let left = due.saturating_sub(self.begun.elapsed());
        let pause = if left.is_zero() { self.next } else { self.next.min(left) };
        tokio::time::sleep(pause).await;
        self.next = self.next.mul_f64(1.5).min(LONGEST);
    }

    /// Looks once. That nothing can be seen is no reason to fail.
    pub(super) async fn look(&mut self, progress: &UnboundedSender<Progress>) {
        if let Err(error) = self.try_to_look(progress).await {
            tracing::debug!(%error, "what a statement waits for can't be seen");
        }
    }

    async fn try_to_look(&mut self, progress: &UnboundedSender<Progress>) -> Result<(), mysql_async::Error> {
        let waiting = waiting(self.session, self.watched).await?;
        self.builds |= self.watch.builds && waiting == Waiting::Building;
        let waits = matches!(waiting, Waiting::ForTable | Waiting::ForRow);
        let elapsed = self.begun.elapsed();
        if elapsed >= self.watch.statement {
            return self.end(Fault::Late(self.watch.statement)).await;
        }
        if waits {
            // Who may not see them waits no longer for that.
            let found = blockers(self.session, self.sight, self.watched, waiting, self.watch.tables).await;
            let found = found.unwrap_or_default();
            if !found.0.is_empty() {
                self.seen = found.clone();
            }
            if !self.builds && self.begun.elapsed() >= self.watch.lock {
                return self.end(Fault::Locked(self.watch.lock)).await;
            }
            // Of a table's lock not every server says who has it: whoever has nothing to do with it is left alone.
            if self.sight != Sight::Transactions || waiting == Waiting::ForRow {
                self.end_overdue(&found, progress).await;
            }
        }
        Ok(())
    }

    async fn end(&mut self, why: Fault) -> Result<(), mysql_async::Error> {
        self.session.run(&format!("KILL QUERY {}", self.watched)).await?;
        self.cut = Some(why);
        Ok(())
    }

    async fn end_overdue(&mut self, found: &Backends, progress: &UnboundedSender<Progress>) {
        let Some(age) = self.end_blockers else { return };
        for blocker in &found.0 {
            if !blocker.is_older_than(age) || self.ended.contains(&blocker.id) {
                continue;
            }
            self.ended.push(blocker.id);
            // All of it: to end what it runs would leave its transaction open.
            match self.session.run(&format!("KILL {}", blocker.id)).await {
                // Nobody listening is no reason to stop.
                Ok(()) => drop(progress.send(Progress::Ended { blocker: blocker.clone(), closed: true })),
                Err(error) => tracing::warn!(%error, "what is in the way stays in the way"),
            }
        }
    }
}
