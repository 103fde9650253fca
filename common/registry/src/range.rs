//! The `Range` header, as far as resumed downloads use it.

use std::ops::Range;

use hyper::HeaderMap;
use hyper::header::RANGE;

/// Which part of the content a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: no range was asked for, or one that a server may ignore (RFC 9110, section 14.2).
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// Bytes that the content doesn't have.
    Unsatisfiable,
}

impl Part {
    /// What the headers of a request ask of content of `size` bytes. Several ranges at once are ignored.
    pub(crate) fn asked(headers: &HeaderMap, size: u64) -> Self {
        let Some(value) = headers.get(RANGE) else { return Self::Whole };
        value.to_str().ok().and_then(|text| Self::parse(text, size)).unwrap_or(Self::Whole)
    }

    fn parse(text: &str, size: u64) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let range = match (first.trim(), last.trim()) {
            ("", suffix) => size.saturating_sub(suffix.parse().ok()?)..size,
            (first, "") => first.parse().ok()?..size,
            (first, last) => {
                let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
                if last < first {
                    return None;
                }
                first..last.saturating_add(1).min(size)
            }
        };
        Some(if range.start < range.end { Self::Bytes(range) } else { Self::Unsatisfiable })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(text: &str, size: u64) -> Part {
        Part::asked(&HeaderMap::from_iter([(RANGE, text.parse().unwrap())]), size)
    }

    #[test]
    fn a_range_is_cut_to_the_content() {
        assert_eq!(asked("bytes=2-5", 10), Part::Bytes(2..6));
        assert_eq!(asked("bytes=7-", 10), Part::Bytes(7..10));
        assert_eq!(asked("bytes=7-99", 10), Part::Bytes(7..10));
        assert_eq!(asked("bytes=-3", 10), Part::Bytes(7..10));
        assert_eq!(asked("bytes=-99", 10), Part::Bytes(0..10));
        assert_eq!(asked(&format!("bytes=0-{}", u64::MAX), 10), Part::Bytes(0..10));
    }

    #[test]
    fn bytes_beyond_the_end_cannot_be_had() {
        assert_eq!(asked("bytes=10-", 10), Part::Unsatisfiable);
        assert_eq!(asked("bytes=-0", 10), Part::Unsatisfiable);
        assert_eq!(asked("bytes=0-0", 0), Part::Unsatisfiable);
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for text in ["bytes=0-1,4-5", "bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=", "bytes=--1"] {
            assert_eq!(asked(text, 10), Part::Whole, "{text}");
        }
    }
}
