use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Guards, LatencyTerms, Margin, Policies, Query, Ratio, Share, millis};

/// By what a new version is judged; from the deploy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// How likely a version that is at most as bad as tolerated may be called worse, over the whole trial and all comparisons.
    pub alpha: Share,
    /// How many more of its requests may fail.
    pub failures: Margin,
    /// How much slower it may be; nothing: that isn't compared.
    pub latency: Option<LatencyTerms>,
    /// How many requests of the new version have to be known for a pass.
    pub minimum: u64,
    /// What a pass needs.
    pub proof: Proof,
    /// Whether a step ends before its time once the new version is proven harmless.
    pub early: bool,
    /// Whether nothing is done of what the verdict says: a step ends by its time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Whether requests are sent on the new version's behalf, and as many to the old one, where clients send too few.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub synthetic: bool,
    /// Rules without statistics.
    pub guards: Guards,
    /// Questions to a metrics server.
    pub queries: Vec<Query>,
    /// For how long the proxies may be silent before nothing is known.
    #[serde(with = "millis")]
    pub silence: Duration,
    /// What is to be done about outcomes that decide nothing.
    pub policies: Policies,
}

impl Default for Terms {
    /// A level of 1 %, a tenth of a point more failures, latencies, and at least 100 requests without a sign of harm.
    fn default() -> Self {
        Self {
            alpha: Share::percent(1),
            failures: Margin { ratio: Ratio::ONE, difference: Share::millionths(1_000) },
            latency: Some(LatencyTerms::default()),
            minimum: 100,
            proof: Proof::Quiet,
            early: false,
            dry_run: false,
            synthetic: false,
            guards: Guards::default(),
            queries: Vec::new(),
            silence: Duration::from_secs(30),
            policies: Policies::default(),
        }
    }
}

/// What a pass needs besides the minimum of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// In each comparison the new version is proven to be at most as bad as tolerated: the upper bound of its rate lies below
    /// what the lower bound of the old one tolerates. Where nothing is tolerated that can't be proven.
    Bound,
    /// That, or the step's time is over and no comparison shows a sign of harm.
    Quiet,
}

/// Terms that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTerms {
    /// The level is not a probability that could be kept.
    #[error("the level is {0}: it lies above 0 % and at most at 50 %")]
    Level(Share),
    /// Less than as much is tolerated.
    #[error("the tolerated ratio is {0}: at least 1 can be kept by the same version")]
    Ratio(Ratio),
    /// A quantile that is none.
    #[error("{0} is no quantile: it lies between 0 % and 100 %")]
    Quantile(Share),
    /// Nothing to compare latencies at.
    #[error("no quantiles to compare latencies at")]
    NoQuantiles,
    /// Two queries of one name.
    #[error("there are two queries '{0}'")]
    Query(String),
    /// Something to be proven that can't be.
    #[error(
        "nothing is tolerated, so it can't be proven that no more than that fails: allow a difference or a ratio"
    )]
    Unprovable,
}

impl Terms {
    /// Whether they make sense.
    pub fn check(&self) -> Result<(), InvalidTerms> {
        if self.alpha == Share::default() || self.alpha > Share::percent(50) {
            return Err(InvalidTerms::Level(self.alpha));
        }
        let tolerated = self.latency.iter().map(|latency| latency.tolerated);
        if let Some(ratio) = tolerated.chain([self.failures.ratio]).find(|ratio| *ratio < Ratio::ONE) {
            return Err(InvalidTerms::Ratio(ratio));
        }
        if let Some(latency) = &self.latency {
            if latency.quantiles.is_empty() {
                return Err(InvalidTerms::NoQuantiles);
            }
            let none = |quantile: &&Share| **quantile == Share::default() || **quantile >= Share::WHOLE;
            if let Some(quantile) = latency.quantiles.iter().find(none) {
                return Err(InvalidTerms::Quantile(*quantile));
            }
        }
        if self.proof == Proof::Bound && self.failures == Margin::NONE {
            return Err(InvalidTerms::Unprovable);
        }
        let names = self.queries.iter().enumerate();
        let mut twice =
            names.filter(|(at, query)| self.queries[..*at].iter().any(|other| other.name == query.name));
        twice.next().map_or(Ok(()), |(_, query)| Err(InvalidTerms::Query(query.name.clone())))
    }

    /// The level of each comparison of failures, and that of the latencies in all; half for each where there are both. Of that of
    /// the failures synthetic requests have half.
    pub(crate) fn levels(&self) -> (f64, f64) {
        let alpha = self.alpha.fraction().clamp(1e-6, 0.5);
        let (failures, latency) =
            if self.latency.is_some() { (alpha / 2.0, alpha / 2.0) } else { (alpha, 0.0) };
        (if self.synthetic { failures / 2.0 } else { failures }, latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_terms_make_sense_and_come_back_from_json() {
        let terms = Terms::default();
        assert_eq!(terms.check(), Ok(()));
        let json = serde_json::to_string(&terms).unwrap();
        assert_eq!(serde_json::from_str::<Terms>(&json).unwrap(), terms);
        assert_eq!(serde_json::from_str::<Terms>("{}").unwrap(), terms);
    }

    #[test]
    fn what_makes_none_is_refused() {
        let usual = Terms::default;
        let latency = |change: fn(&mut LatencyTerms)| {
            let mut latency = LatencyTerms::default();
            change(&mut latency);
            Terms { latency: Some(latency), ..usual() }
        };
        let query = || crate::Query {
            name: "q".into(),
            expression: "up".into(),
            condition: crate::Condition::AtMost(crate::Limit::default()),
            strikes: 1,
        };
        let half = Ratio::thousandths(500);
        for (terms, expected) in [
            (Terms { alpha: Share::default(), ..usual() }, InvalidTerms::Level(Share::default())),
            (Terms { alpha: Share::percent(51), ..usual() }, InvalidTerms::Level(Share::percent(51))),
            (latency(|latency| latency.tolerated = Ratio::thousandths(500)), InvalidTerms::Ratio(half)),
            (latency(|latency| latency.quantiles.clear()), InvalidTerms::NoQuantiles),
            (latency(|latency| latency.quantiles = vec![Share::WHOLE]), InvalidTerms::Quantile(Share::WHOLE)),
            (Terms { failures: Margin::NONE, proof: Proof::Bound, ..usual() }, InvalidTerms::Unprovable),
            (Terms { queries: vec![query(), query()], ..usual() }, InvalidTerms::Query("q".into())),
        ] {
            assert_eq!(terms.check(), Err(expected));
        }
    }
}
