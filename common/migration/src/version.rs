//! What migrations are ordered by.

use std::fmt;
use std::str::FromStr;

/// A migration's version: the digits in front of its file's name, compared as a number, so that 9 stands before 10 and
/// 001 is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(i64);

/// A text that is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a version: expected 1 to 18 digits, such as 001 or 20260131120000")]
pub struct InvalidVersion(String);

impl Version {
    /// The version that the ledger keeps as a `bigint`.
    pub const fn from_ledger(number: i64) -> Self {
        Self(number)
    }

    /// The version as a number.
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let invalid = || InvalidVersion(text.to_owned());
        if !(1..=18).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        text.parse().map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("9") < version("10"));
        assert_eq!(version("001"), version("1"));
        assert!(version("20260131120000") > version("999"));
        for text in ["", "1a", "-1", "+1", "1234567890123456789"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
