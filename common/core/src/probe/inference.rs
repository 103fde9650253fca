use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::HttpCheck;
use crate::Span;

/// What a model must answer, and how soon: a round of calls, of which the first ones only warm it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceSpec {
    /// The call, and what a good answer to it is. Each answer must be one, also those that warm up.
    pub request: HttpCheck,
    /// The limit of one answer.
    pub timeout: Span,
    /// Calls at the beginning whose time doesn't count.
    pub warm_up: u32,
    /// Calls whose time counts; at least one.
    pub calls: u32,
    /// What 95 of 100 of those must not take longer than; none: no matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<Span>,
    /// The wait before another round, where one has failed.
    pub period: Span,
    /// Rounds with a wrong or a slow answer that end the wait; rounds with none, or with another status, are not counted.
    pub failures: u32,
}

/// How long calls took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    /// In order, the shortest first.
    sorted: Vec<Duration>,
}

/// Calls took too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answers are too slow: {measured}, where p95 may be {limit}")]
pub struct TooSlow {
    /// How long they took.
    pub measured: Latencies,
    /// What they might have taken.
    pub limit: Span,
}

impl Latencies {
    /// Of these calls.
    pub fn of(mut calls: Vec<Duration>) -> Self {
        calls.sort_unstable();
        Self { sorted: calls }
    }

    /// The time that `per_cent` of a hundred calls did not exceed, by nearest rank: of fewer than 20 calls, their p95 is the
    /// slowest one's. None: there were none.
    pub fn percentile(&self, per_cent: usize) -> Option<Duration> {
        let rank = (self.sorted.len() * per_cent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied()
    }

    /// Whether they are within what a model may take.
    ///
    /// # Errors
    /// They aren't.
    pub fn judge(self, spec: &InferenceSpec) -> Result<Self, TooSlow> {
        match (spec.p95, self.percentile(95)) {
            (Some(limit), Some(p95)) if p95 > limit.0 => Err(TooSlow { measured: self, limit }),
            _ => Ok(self),
        }
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |per_cent| self.percentile(per_cent).unwrap_or_default().as_secs_f64() * 1000.0;
        let count = self.sorted.len();
        write!(
            f,
            "p50 {:.1} ms, p95 {:.1} ms, longest {:.1} ms of {count} calls",
            millis(50),
            millis(95),
            millis(100)
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn spec(p95: Option<Span>) -> InferenceSpec {
        InferenceSpec {
            request: HttpCheck::get("/embed"),
            timeout: Span::seconds(5),
            warm_up: 1,
            calls: 20,
            p95,
            period: Span::seconds(1),
            failures: 3,
        }
    }

    fn took(millis: impl IntoIterator<Item = u64>) -> Latencies {
        Latencies::of(millis.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let calls = took((1..=100).rev());
        for (per_cent, millis) in [(1, 1), (50, 50), (95, 95), (99, 99), (100, 100)] {
            assert_eq!(calls.percentile(per_cent), Some(Duration::from_millis(millis)));
        }
        // The slowest of 19 is their p95, and of 20 it isn't.
        assert_eq!(took(1..=19).percentile(95), Some(Duration::from_millis(19)));
        assert_eq!(took(1..=20).percentile(95), Some(Duration::from_millis(19)));
        assert_eq!(took([]).percentile(95), None);
    }

    #[test]
    fn one_slow_call_of_twenty_is_let_pass_and_two_are_not() {
        let limit = Some(Span::millis(300));
        let calls = |slow: u64| took((0..20).map(|n| if n < slow { 900 } else { 10 }));
        assert!(calls(1).judge(&spec(limit)).is_ok());
        let told = calls(2).judge(&spec(limit)).unwrap_err().to_string();
        assert_eq!(
            told,
            "its answers are too slow: p50 10.0 ms, p95 900.0 ms, longest 900.0 ms of 20 calls, where p95 may be 300ms"
        );
        assert!(calls(20).judge(&spec(None)).is_ok());
    }
}
