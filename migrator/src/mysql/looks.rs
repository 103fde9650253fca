//! The looks at one statement while it runs.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::Session;
use super::blockers::{Waiting, blockers, waiting};
use super::fault::{is_fatal, is_gone};
use super::holders::Sight;
use super::observer::Watch;
use super::processes::Processes;
use super::session::Identity;
use crate::{Backend, Backends, Fault, Progress};

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(1);

/// The looks at one statement of the session `watched`, from another one.
pub(super) struct Looks<'a> {
    /// None once it has died.
    session: Option<Session>,
    sight: Sight,
    watched: &'a Identity,
    watch: Watch<'a>,
    end_blockers: Option<Duration>,
    begun: Instant,
    next: Duration,
    /// Whether it has had its lock, and goes on without one.
    builds: bool,
    /// Those that were ended: each once, as it takes a moment to be gone.
    ended: Vec<i64>,
    /// Who was last seen in its way.
    seen: Backends,
    /// Why it is ended, once that was demanded.
    cut: Option<Fault>,
}

impl<'a> Looks<'a> {
    /// Looks at what `watched` begins with now. Blockers that have been open for longer than `end_blockers` are ended.
    pub(super) fn new(
        session: Session,
        sight: Sight,
        watched: &'a Identity,
        watch: Watch<'a>,
        end_blockers: Option<Duration>,
    ) -> Self {
        let (begun, next) = (Instant::now(), watch.first);
        let (ended, seen) = (Vec::new(), Backends::default());
        Self {
            session: Some(session),
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
        let Some(mut session) = self.session.take() else { return };
        let looked = self.try_to_look(&mut session, progress).await;
        if let Err(error) = &looked {
            tracing::debug!(%error, "what a statement waits for can't be seen");
        }
        self.session = Some(session).filter(|_| !looked.is_err_and(|error| is_fatal(&error)));
    }

    /// Whether the session that looks has died.
    pub(super) fn are_over(&self) -> bool {
        self.session.is_none()
    }

    /// Goes on with another session.
    pub(super) fn go_on(&mut self, session: Session, sight: Sight) {
        (self.session, self.sight) = (Some(session), sight);
    }

    /// What there is for the next statement, who was last seen in the way of this one, and why it was ended, if it was.
    pub(super) fn end(self) -> (Option<(Session, Sight)>, Backends, Option<Fault>) {
        (self.session.map(|session| (session, self.sight)), self.seen, self.cut)
    }

    async fn try_to_look(
        &mut self,
        session: &mut Session,
        progress: &UnboundedSender<Progress>,
    ) -> Result<(), mysql_async::Error> {
        let id = self.watched.id;
        let waiting = waiting(session, id).await?;
        self.builds |= self.watch.builds && waiting == Waiting::Building;
        let waits = matches!(waiting, Waiting::ForTable | Waiting::ForRow);
        let elapsed = self.begun.elapsed();
        if elapsed >= self.watch.statement {
            return self.cut(session, Fault::Late(self.watch.statement)).await;
        }
        if waits {
            // Who may not see them waits no longer for that.
            let found = blockers(session, self.sight, id, waiting, self.watch.tables).await;
            let found = found.unwrap_or_default();
            if !found.0.is_empty() {
                self.seen = found.clone();
            }
            if !self.builds && self.begun.elapsed() >= self.watch.lock {
                return self.cut(session, Fault::Locked(self.watch.lock)).await;
            }
            // Of a table's lock not every server says who has it: whoever has nothing to do with it is left alone.
            if self.sight != Sight::Transactions || waiting == Waiting::ForRow {
                self.end_overdue(session, &found, progress).await;
            }
        }
        Ok(())
    }

    async fn cut(&mut self, session: &mut Session, why: Fault) -> Result<(), mysql_async::Error> {
        session.run(&self.watched.kill_query()).await?;
        self.cut = Some(why);
        Ok(())
    }

    async fn end_overdue(
        &mut self,
        session: &mut Session,
        found: &Backends,
        progress: &UnboundedSender<Progress>,
    ) {
        let Some(age) = self.end_blockers else { return };
        for blocker in &found.0 {
            if !blocker.is_older_than(age) || self.ended.contains(&blocker.id) {
                continue;
            }
            self.ended.push(blocker.id);
            match session.run(&demand(session, blocker, age)).await {
                Ok(()) => {
                    tracing::warn!(%blocker, "a session that was in the way is ended");
                    // Nobody listening is no reason to stop.
                    let _ = progress.send(Progress::Ended { blocker: blocker.clone(), closed: true });
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => tracing::warn!(%error, "what is in the way stays in the way"),
            }
        }
    }
}

/// What ends a session, all of it: to end what it runs would leave its transaction open. Only one whose transaction is old at that
/// moment is: since it was seen, that may have ended, and its client gone on with another.
fn demand(session: &Session, blocker: &Backend, age: Duration) -> String {
    let again = Processes::of(session).query(&format!("p.id = {}", blocker.id));
    format!(
        "SET @cutover_blocker = (SELECT b.id FROM ({again}) b WHERE b.open_for > {} LIMIT 1); KILL @cutover_blocker",
        age.as_secs_f64()
    )
}
