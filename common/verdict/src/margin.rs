use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Ratio, Share};

/// How much worse the new version may be without that being worth anything: at most `ratio` times the old version's rate and
/// `difference` more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Margin {
    /// So many times the old rate; at least once.
    #[serde(default)]
    pub ratio: Ratio,
    /// And so much more.
    #[serde(default)]
    pub difference: Share,
}

impl Margin {
    /// Nothing.
    pub const NONE: Self = Self { ratio: Ratio::ONE, difference: Share::millionths(0) };

    pub(crate) fn line(self) -> Line {
        Line { slope: self.ratio.number().max(1.0), rise: self.difference.fraction() }
    }
}

/// What the new rate may be at the most, given the old one: `slope * old + rise`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// At least 1.
    pub slope: f64,
    /// From 0 to 1.
    pub rise: f64,
}

// Neither is ever NaN.
impl Eq for Line {}

impl Line {
    pub(crate) fn at(self, old: f64) -> f64 {
        (self.slope * old + self.rise).min(1.0)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.slope == 1.0 {
            write!(f, "the old rate")?
        } else {
            write!(f, "{:.2} times the old rate", self.slope)?
        }
        if self.rise > 0.0 { write!(f, " and {:.2} points", self.rise * 100.0) } else { Ok(()) }
    }
}
