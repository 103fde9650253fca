use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidDecimal;
use crate::decimal;

/// How many times as much, in thousandths, as in `1.25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ratio(u32);

impl Ratio {
    /// As much.
    pub const ONE: Self = Self(1_000);

    /// So many thousandths.
    pub const fn thousandths(thousandths: u32) -> Self {
        Self(thousandths)
    }

    /// The number.
    pub fn number(self) -> f64 {
        f64::from(self.0) / 1e3
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Self::ONE
    }
}

impl FromStr for Ratio {
    type Err = InvalidDecimal;

    /// Reads `1.25`; at most three places behind the point.
    fn from_str(text: &str) -> Result<Self, InvalidDecimal> {
        let invalid = || InvalidDecimal::new(text, "a ratio: write a number such as 1.25");
        decimal::units(text, 3).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal::text(self.0, 3))
    }
}
