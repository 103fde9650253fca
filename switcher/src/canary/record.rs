//! How a canary stands, for whoever watches, and what it is judged by, for whoever judges it later: both into the journal.

use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cutover_bus::Assignment;
use cutover_core::Progress;
use cutover_verdict::{Histogram, Moment, Observed, Round, Window};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// From one record of a step to the next.
const EVERY: Duration = Duration::from_secs(5);

/// What is known of the canary and not yet in the journal.
pub(super) struct Record<'a> {
    assignment: &'a Assignment,
    told: Mutex<Told>,
    changed: Notify,
}

#[derive(Default)]
struct Told {
    standing: Option<(u32, String)>,
    seen: Observed,
    recorded: Option<(u32, Instant)>,
    has_ended: bool,
}

impl<'a> Record<'a> {
    pub(super) fn new(assignment: &'a Assignment) -> Self {
        Self { assignment, told: Mutex::default(), changed: Notify::new() }
    }

    /// Which step holds, and how it goes.
    pub(super) fn say(&self, step: u32, text: String) {
        self.told().standing = Some((step, text));
        self.changed.notify_one();
    }

    /// What was counted at the same time.
    pub(super) fn windows(&self, windows: Vec<Window>) {
        self.told().seen.windows.extend(windows);
    }

    /// How long the old version's requests took before.
    pub(super) fn before(&self, before: &Histogram) {
        self.told().seen.before = before.clone();
    }

    /// What was answered to a query.
    pub(super) fn answered(&self, query: &str, round: Round) {
        self.told().seen.answered(query, [round]);
    }

    /// When it was judged last.
    pub(super) fn judged(&self, moment: Moment) {
        self.told().seen.moment = moment;
    }

    /// Records while `work` goes on, and what is left once it has ended; then answers with what that answered.
    pub(super) async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let work = async {
            let done = work.await;
            self.told().has_ended = true;
            self.changed.notify_one();
            done
        };
        let (done, ()) = tokio::join!(work, self.keep());
        done
    }

    async fn keep(&self) {
        loop {
            self.due().await;
            let has_ended = self.told().has_ended;
            self.write().await;
            if has_ended {
                return;
            }
        }
    }

    /// Until there is something to write.
    async fn due(&self) {
        loop {
            let next = match self.told().due() {
                Due::Now => return,
                Due::At(at) => Some(at),
                Due::Never => None,
            };
            let late = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = late => return,
            }
        }
    }

    /// Writes down what there is. What couldn't be is there the next time.
    async fn write(&self) {
        let (step, text, mut seen) = {
            let mut told = self.told();
            let Some((step, text)) = told.standing.clone() else { return };
            told.recorded = Some((step, Instant::now()));
            (step, text, std::mem::take(&mut told.seen))
        };
        let whole = (!seen.is_empty()).then(|| Box::new(seen.clone()));
        if !self.assignment.record(Progress::Canary { step, text, seen: whole }).await {
            let mut told = self.told();
            seen.extend(std::mem::take(&mut told.seen));
            told.seen = seen;
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the next record is due.
enum Due {
    Now,
    At(Instant),
    Never,
}

impl Told {
    /// At once where it is another step or the end, and else now and then, as the journal keeps each.
    fn due(&self) -> Due {
        match (&self.standing, self.recorded) {
            _ if self.has_ended => Due::Now,
            (None, _) => Due::Never,
            (Some((now, _)), Some((last, at))) if *now == last => Due::At(at + EVERY),
            (Some(_), _) => Due::Now,
        }
    }
}
