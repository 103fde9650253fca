use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The statuses that a good answer may have, as in `200-299, 304`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusSet(Vec<RangeInclusive<u16>>);

/// A text that is no set of statuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' are no statuses: write numbers and ranges from 100 to 599, as in 200-299, 304")]
pub struct InvalidStatusSet(String);

impl Default for StatusSet {
    /// All that say that it went well.
    fn default() -> Self {
        Self(vec![200..=299])
    }
}

impl StatusSet {
    /// Whether it is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    /// Whether they are those that say that it went well, and no others.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for StatusSet {
    type Err = InvalidStatusSet;

    fn from_str(text: &str) -> Result<Self, InvalidStatusSet> {
        let status = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u16, u16) = status(first).zip(status(last))?;
            (first <= last).then_some(first..=last)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(Self).ok_or_else(|| InvalidStatusSet(text.to_owned()))
    }
}

impl TryFrom<String> for StatusSet {
    type Error = InvalidStatusSet;

    fn try_from(text: String) -> Result<Self, InvalidStatusSet> {
        text.parse()
    }
}

impl From<StatusSet> for String {
    fn from(set: StatusSet) -> String {
        set.to_string()
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            write!(f, "{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read() {
        let set: StatusSet = "200-299, 304".parse().unwrap();
        assert!([200, 250, 299, 304].into_iter().all(|status| set.contains(status)));
        assert!([199, 300, 302, 500].into_iter().all(|status| !set.contains(status)));
        assert_eq!(set.to_string(), "200-299, 304");
        assert!("200-299".parse::<StatusSet>().unwrap().is_usual());
        for text in ["", "2xx", "200,", "299-200", "99", "600", "200-", "-200", "200 300"] {
            assert!(text.parse::<StatusSet>().is_err(), "{text}");
        }
    }
}
