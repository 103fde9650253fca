use std::time::Duration;

use cutover_verdict::{Counts, Window};

use crate::chance::Chance;
use crate::latency::Latency;

/// Requests per second, of both versions.
const RATE: u64 = 100;

/// What the two versions do.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The share of requests that goes to the new version.
    pub(crate) weight: f64,
    /// The shares that fail: of the new version's requests, and of the old one's.
    pub(crate) failing: (f64, f64),
    /// Until when the new version is as good as the old one.
    pub(crate) good_until: Duration,
    /// How long they take; nothing: that isn't compared.
    pub(crate) latency: Option<(Latency, Latency)>,
    /// What disturbs them.
    pub(crate) trouble: Trouble,
}

/// What disturbs both versions alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// Every five minutes, for twenty seconds, one of five requests fails, whichever version gets it.
    Bursts,
    /// A failure never comes alone: five requests to the same version fail.
    Clumps,
}

impl Scenario {
    /// Both versions are alike and fail so often.
    pub(crate) fn healthy(name: &'static str, weight: f64, failing: f64) -> Self {
        Self::worse(name, weight, failing, failing)
    }

    /// The old version fails so often, and the new one so often.
    pub(crate) fn worse(name: &'static str, weight: f64, old: f64, new: f64) -> Self {
        let (good_until, latency, trouble) = (Duration::ZERO, None, Trouble::None);
        Self { name, weight, failing: (new, old), good_until, latency, trouble }
    }

    /// The versions' latencies, compared beside their failures.
    pub(crate) fn latencies(self, new: Latency) -> Self {
        Self { latency: Some((new, Latency::usual(1.0))), ..self }
    }

    /// What happens within some seconds from one on.
    pub(crate) fn window(&self, from: u64, seconds: u64, chance: &mut Chance) -> Window {
        self.weighted(self.weight, from, seconds, chance)
    }

    /// What happens before the new version gets anything.
    pub(crate) fn before(&self, from: u64, seconds: u64, chance: &mut Chance) -> Window {
        self.weighted(0.0, from, seconds, chance)
    }

    fn weighted(&self, weight: f64, from: u64, seconds: u64, chance: &mut Chance) -> Window {
        let requests = RATE * seconds;
        let new = chance.happen(requests, weight);
        let (mut fails_new, mut fails_old) = self.failing;
        if Duration::from_secs(from) < self.good_until {
            fails_new = fails_old;
        }
        if self.trouble == Trouble::Bursts && from % 300 < 20 {
            (fails_new, fails_old) = (fails_new.max(0.2), fails_old.max(0.2));
        }
        let latency = self.latency.as_ref();
        Window {
            from: Duration::from_secs(from),
            to: Duration::from_secs(from + seconds),
            new: self.counts(new, fails_new, latency.map(|(new, _)| new), chance),
            old: self.counts(requests - new, fails_old, latency.map(|(_, old)| old), chance),
            ..Window::default()
        }
    }

    fn counts(&self, requests: u64, fails: f64, latency: Option<&Latency>, chance: &mut Chance) -> Counts {
        let clump = if self.trouble == Trouble::Clumps { 5 } else { 1 };
        let failed = clump * chance.happen(requests, fails / clump as f64);
        let buckets = latency.map(|latency| latency.draw(requests, chance));
        Counts::new(requests, failed, buckets.into_iter().flatten())
    }
}
