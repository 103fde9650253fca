//! Many canaries of one kind, each watched by all rules at once.

use std::time::Duration;

use cutover_verdict::{Counts, LatencyTerms, Terms};

use crate::argo::Argo;
use crate::chance::Chance;
use crate::flagger::Flagger;
use crate::kayenta::Kayenta;
use crate::rule::{Ours, Rule};
use crate::scenario::Scenario;

/// How long a canary is watched.
const MINUTES: u64 = 60;

/// How long the old version is, before.
const MINUTES_BEFORE: u64 = 5;

/// Whose rule it is; the numbers are those of the projects' own documents, but for Argo's second, which is told where the truth is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Cutover,
    Argo,
    ArgoTold,
    Flagger,
    Kayenta,
}

impl Whose {
    pub(crate) const ALL: [Self; 5] =
        [Self::Cutover, Self::Argo, Self::ArgoTold, Self::Flagger, Self::Kayenta];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cutover => "Cutover",
            Self::Argo => "Argo, 95 %, 3 misses",
            Self::ArgoTold => "Argo, told the middle",
            Self::Flagger => "Flagger, 99 %, 5 misses",
            Self::Kayenta => "Kayenta, each 10 min",
        }
    }

    fn rule(self, scenario: &Scenario) -> Box<dyn Rule> {
        let (new, old) = scenario.failing;
        match self {
            Self::Cutover => Box::new(Ours::new(terms(scenario))),
            Self::Argo => Box::new(Argo::new(0.95, 500.0, 3)),
            // Between the rates; of those that are alike, as if twice as many were to be found.
            Self::ArgoTold => {
                let worse = if new > 1.2 * old { new } else { 2.0 * old };
                Box::new(Argo::new(1.0 - worse.midpoint(old), 375.0, 3))
            }
            Self::Flagger => Box::new(Flagger::new(99.0, 500.0, 5)),
            Self::Kayenta => Box::<Kayenta>::default(),
        }
    }
}

/// The usual terms; latencies are compared where the scenario has some.
pub(crate) fn terms(scenario: &Scenario) -> Terms {
    let latency = scenario.latency.as_ref().map(|_| LatencyTerms::default());
    Terms { latency, ..Terms::default() }
}

/// When a rule has said that the canary has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caught {
    pub(crate) seconds: u64,
    /// What the new version had got by then.
    pub(crate) requests: u64,
    /// Of those, what failed.
    pub(crate) failed: u64,
}

/// What each rule said of each canary of one kind.
pub(crate) struct Trials {
    pub(crate) of: usize,
    pub(crate) caught: Vec<(Whose, Vec<Caught>)>,
}

impl Trials {
    /// So many canaries, counted every so many seconds, which divide a minute.
    pub(crate) fn play(scenario: &Scenario, whose: &[Whose], count: usize, step: u64, seed: u64) -> Self {
        let mut trials = Self { of: count, caught: whose.iter().map(|whose| (*whose, Vec::new())).collect() };
        let mut chance = Chance::new(seed);
        for _ in 0..count {
            trials.one(scenario, step, &mut chance);
        }
        trials
    }

    fn one(&mut self, scenario: &Scenario, step: u64, chance: &mut Chance) {
        // The rules that have said nothing yet.
        let mut watching: Vec<_> =
            self.caught.iter().enumerate().map(|(at, (whose, _))| (at, whose.rule(scenario))).collect();
        for from in (0..60 * MINUTES_BEFORE).step_by(10) {
            let window = scenario.before(from, 10, chance);
            watching.iter_mut().for_each(|(_, rule)| rule.before(&window));
        }
        let (mut requests, mut failed) = (0, 0);
        let (mut new, mut old) = (Counts::default(), Counts::default());
        for from in (0..60 * MINUTES).step_by(step as usize) {
            let window = scenario.window(from, step, chance);
            (requests, failed) = (requests + window.new.requests, failed + window.new.failed);
            (new, old) = (new.plus(&window.new), old.plus(&window.old));
            let minute = (from + step).is_multiple_of(60);
            let before = Duration::from_secs(from) < scenario.good_until;
            watching.retain_mut(|(at, rule)| {
                let said = rule.window(&window) || minute && rule.minute(&new, &old);
                if said && !before {
                    self.caught[*at].1.push(Caught { seconds: from + step, requests, failed });
                }
                !said
            });
            if watching.is_empty() {
                return;
            }
            if minute {
                (new, old) = Default::default();
            }
        }
    }

    pub(crate) fn by(&self, whose: Whose) -> &[Caught] {
        self.caught.iter().find(|(other, _)| *other == whose).map_or(&[], |(_, caught)| caught)
    }

    /// The share that was caught.
    pub(crate) fn share(&self, whose: Whose) -> f64 {
        self.by(whose).len() as f64 / self.of as f64
    }

    /// A quantile of something over all canaries, the ones that weren't caught being the last; nothing where it is one of those.
    pub(crate) fn quantile(&self, whose: Whose, share: f64, of: impl Fn(&Caught) -> u64) -> Option<u64> {
        let mut values: Vec<_> = self.by(whose).iter().map(of).collect();
        values.sort_unstable();
        values.get(((self.of as f64 * share).ceil() as usize).saturating_sub(1)).copied()
    }
}
