use std::fmt;

use serde::{Deserialize, Serialize};

use crate::margin::Line;
use crate::{Interval, Proportion};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// How many requests fail.
    Failures,
    /// How many of those fail that were sent on its behalf.
    Synthetic,
    /// How many take longer than a bound in milliseconds, which lies next to a quantile of the old version, in millionths.
    Slower {
        /// The bound.
        than_ms: u64,
        /// Which quantile.
        quantile: crate::Share,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures => f.write_str("failed"),
            Self::Synthetic => f.write_str("synthetic"),
            Self::Slower { than_ms, .. } => write!(f, "over {than_ms} ms"),
        }
    }
}

/// A version's rate, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// What was counted.
    pub seen: Proportion,
    /// The confidence sequence at its end.
    pub interval: Interval,
}

/// The normal distribution's quantile of 95 %.
const ONE_OF_TWENTY: f64 = 1.645;

/// One comparison, with all that it stands on. The test is a mixture of likelihood ratios against the nearest point of what is
/// tolerated; its e-value is the highest so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What is compared.
    pub subject: Subject,
    /// The new version.
    pub new: Rate,
    /// The old one.
    pub old: Rate,
    /// What is tolerated.
    pub tolerated: Line,
    /// How much evidence there is that the new version is worse than that; to three places, at most [`Finding::MOST`].
    pub e_value: f64,
    /// From where on it is enough: 1 by the level of this comparison.
    pub threshold: f64,
}

// Neither number is ever NaN.
impl Eq for Finding {}

impl Finding {
    /// More evidence than this is written as this.
    pub const MOST: f64 = 1e12;

    /// The new version is worse than tolerated.
    pub fn is_worse(&self) -> bool {
        self.e_value >= self.threshold
    }

    /// There is a sign of that: half of the evidence, as logarithms go, or more than tolerated now by an ordinary score that one
    /// of twenty healthy versions would show at one look.
    pub fn is_suspicious(&self) -> bool {
        self.e_value >= self.threshold.sqrt() || self.score() >= ONE_OF_TWENTY
    }

    /// By how many of its standard errors the new rate is above what is tolerated. Good for one look, and not for many.
    fn score(&self) -> f64 {
        let variance = |seen: Proportion| seen.rate() * (1.0 - seen.rate()) / seen.of.max(1) as f64;
        let (new, old) = (self.new.seen, self.old.seen);
        let error = (variance(new) + self.tolerated.slope.powi(2) * variance(old)).sqrt();
        let above = new.rate() - self.tolerated.at(old.rate());
        // All or none of them: an error of nothing would make a certainty of it.
        if error > 0.0 { above / error } else { above * (new.of as f64).sqrt() }
    }

    /// It is proven that the new version is at most as bad as tolerated.
    pub fn is_harmless(&self) -> bool {
        self.new.interval.high <= self.tolerated.at(self.old.interval.low)
    }

    /// Where the difference of the rates lies, new less old: both intervals hold at once with the level's confidence.
    pub fn difference(&self) -> Interval {
        let (new, old) = (self.new.interval, self.old.interval);
        Interval { low: new.low - old.high, high: new.high - old.low }
    }
}

impl fmt::Display for Finding {
    /// In full; in one line with `{:#}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return self.in_one_line(f);
        }
        let confidence = 100.0 * (1.0 - 1.0 / self.threshold);
        let subject = self.subject.to_string();
        writeln!(f, "{subject:<16}{:>20}{:>11}   {confidence:.2} % interval", "requests", "rate")?;
        for (name, Rate { seen, interval }) in [("new", self.new), ("old", self.old)] {
            let counted = seen.to_string();
            let (rate, low, high) = (Percent(seen.rate()), Percent(interval.low), Percent(interval.high));
            writeln!(f, "  {name:<14}{counted:>20}{rate:>11}   {low} to {high}")?;
        }
        let (by, at) = (self.new.seen.rate() - self.old.seen.rate(), self.difference());
        let by = format!("{:+.2}", 100.0 * by);
        let (low, high) = (100.0 * at.low, 100.0 * at.high);
        writeln!(f, "  {:<34}{by:>9}     {low:+.2} to {high:+.2} points", "difference")?;
        writeln!(f, "  {:<14}at most {}", "tolerated", self.tolerated)?;
        let (e_value, threshold) = (Evidently(self.e_value), Evidently(self.threshold));
        write!(f, "  {:<14}{e_value} ({threshold} is enough)", "e-value")
    }
}

impl Finding {
    fn in_one_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, counted) = (self.subject.to_string(), self.new.seen.to_string());
        let (new, old) = (Percent(self.new.seen.rate()), Percent(self.old.seen.rate()));
        let (e_value, threshold) = (Evidently(self.e_value), Evidently(self.threshold));
        write!(
            f,
            "{subject:<16}{counted:>20}{new:>11}   old {old}, e-value {e_value} ({threshold} is enough)"
        )
    }
}

struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2} %", 100.0 * self.0))
    }
}

struct Evidently(f64);

impl fmt::Display for Evidently {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            few if few < 10.0 => write!(f, "{few:.1}"),
            some if some < 1e6 => write!(f, "{some:.0}"),
            many => write!(f, "{many:.0e}"),
        }
    }
}
