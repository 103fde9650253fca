use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidDecimal;
use crate::decimal;

/// A part of a whole, in millionths, as in `0.1%`. Kept as a whole number, so that what is declared can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub struct Share(u32);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(1_000_000);

    /// So many millionths; more than all is all.
    pub const fn millionths(millionths: u32) -> Self {
        if millionths > 1_000_000 { Self::WHOLE } else { Self(millionths) }
    }

    /// So many hundredths; more than all is all.
    pub const fn percent(percent: u32) -> Self {
        Self::millionths(percent.saturating_mul(10_000))
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl From<u32> for Share {
    fn from(millionths: u32) -> Self {
        Self::millionths(millionths)
    }
}

impl From<Share> for u32 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl FromStr for Share {
    type Err = InvalidDecimal;

    /// Reads `5%`, `0.1 %`; at most 100 %, and four places behind the point.
    fn from_str(text: &str) -> Result<Self, InvalidDecimal> {
        let percent = text.strip_suffix('%').and_then(|number| decimal::units(number.trim_end(), 4));
        let invalid = || InvalidDecimal::new(text, "a share: write it in percent, such as 5% or 0.1%");
        percent.filter(|units| *units <= 1_000_000).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", decimal::text(self.0, 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_in_percent() {
        let shares = ["5%", "0.1 %", "0.0001%", "100%"].map(|text| text.parse::<Share>().unwrap());
        assert_eq!(shares, [Share::percent(5), Share(1_000), Share(1), Share::WHOLE]);
        assert_eq!(shares.map(|share| share.to_string()), ["5 %", "0.1 %", "0.0001 %", "100 %"]);
        for text in ["5", "101%", "-1%", "%", "0.00001%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
