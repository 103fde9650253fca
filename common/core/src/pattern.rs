//! Names that are meant without being written one by one.

use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

/// A pattern of names, as it was written: `*` stands for anything but `/`, `**` for that too, `?` for one character, `[a-z]` for one of
/// several, and `{a,b}` for either.
#[derive(Clone, Debug)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    /// Whether one of them stands for all of `text`.
    pub fn any(patterns: &[Self], text: &str) -> bool {
        patterns.iter().any(|pattern| pattern.0.is_match(text))
    }
}

impl FromStr for Pattern {
    type Err = globset::Error;

    fn from_str(text: &str) -> Result<Self, globset::Error> {
        Ok(Self(GlobBuilder::new(text).literal_separator(true).build()?.compile_matcher()))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.glob() == other.0.glob()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_whole_names_and_a_star_for_no_slash() {
        let patterns = ["main", "release/*", "docs/**"].map(|text| text.parse().unwrap());
        for (name, is_one) in [
            ("main", true),
            ("release/1", true),
            ("docs/a/b", true),
            ("mainline", false),
            ("x/main", false),
            ("release/1/2", false),
            ("Main", false),
        ] {
            assert_eq!(Pattern::any(&patterns, name), is_one, "{name}");
        }
        assert!("[a".parse::<Pattern>().is_err());
    }
}
