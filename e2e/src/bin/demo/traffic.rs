//! What the users of one host ask for, all the time, and what they get.

use std::time::Duration;

use cutover_e2e::{Host, Load, LoadPlan, LoadReport};
use tokio::task::JoinSet;

/// Requests per second and host.
pub(crate) const RATE: u32 = 250;
/// How it is looked who serves: so many requests per second, for so long.
const LOOK_RATE: u32 = 50;
const LOOK: Duration = Duration::from_millis(400);

/// The load on one host, without a gap. It is counted in stretches: what was asked of a host without power is no part of
/// what was asked before and after.
pub(crate) struct Traffic {
    host: &'static str,
    plan: LoadPlan,
    now: Stretch<Load>,
    before: Vec<Stretch<LoadReport>>,
    ending: JoinSet<Stretch<LoadReport>>,
}

/// A stretch of the load.
pub(crate) struct Stretch<T> {
    pub(crate) title: String,
    /// Whether the host was without power.
    pub(crate) is_dead: bool,
    pub(crate) load: T,
}

impl Stretch<Load> {
    /// Ends it, once all that was asked is answered or given up.
    async fn ended(self) -> Stretch<LoadReport> {
        let Self { title, is_dead, load } = self;
        Stretch { title, is_dead, load: load.stop().await }
    }
}

impl Traffic {
    /// The load on a host begins.
    pub(crate) fn begin(host: &'static str, on: &Host) -> anyhow::Result<Self> {
        let plan = LoadPlan { rate: RATE, ..LoadPlan::new(on.http()?, "hello.example") };
        let now = Stretch { title: host.to_owned(), is_dead: false, load: Load::start(plan.clone()) };
        Ok(Self { host, plan, now, before: Vec::new(), ending: JoinSet::new() })
    }

    /// The host is about to lose its power: waits until all that it was asked so far is answered.
    pub(crate) async fn before_a_crash(&mut self) {
        let before = self.turn(format!("{} without power", self.host), true);
        self.before.push(before.ended().await);
    }

    /// The host serves again. What still waits for an answer since before is counted there.
    pub(crate) fn after_a_crash(&mut self) {
        let dead = self.turn(format!("{} back", self.host), false);
        self.ending.spawn(dead.ended());
    }

    fn turn(&mut self, title: String, is_dead: bool) -> Stretch<Load> {
        let next = Stretch { title, is_dead, load: Load::start(self.plan.clone()) };
        std::mem::replace(&mut self.now, next)
    }

    /// Whether a version has answered in this stretch.
    pub(crate) fn has_seen(&self, version: &str) -> bool {
        self.now.load.snapshot().first_answer_of(version).is_some()
    }

    /// Whether this version, and no other, answers whoever comes now.
    pub(crate) async fn is_served_by(&self, version: &str) -> bool {
        let plan = LoadPlan { rate: LOOK_RATE, fresh_every: 1, ..self.plan.clone() };
        let load = Load::start(LoadPlan { timeout: Duration::from_secs(1), ..plan });
        tokio::time::sleep(LOOK).await;
        let report = load.stop().await;
        let is_it = |answered: &Option<String>| answered.as_deref() == Some(version);
        report.answered > 0 && report.failed.is_empty() && report.by_version.keys().all(is_it)
    }

    /// The load ends. The stretches in their order.
    pub(crate) async fn end(self) -> Vec<Stretch<LoadReport>> {
        let mut stretches = self.before;
        stretches.push(self.now.ended().await);
        stretches.extend(self.ending.join_all().await);
        stretches.sort_by_key(|stretch| stretch.load.started);
        stretches
    }
}
