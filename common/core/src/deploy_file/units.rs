//! Numbers, and numbers with units, as the deploy file writes them.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::bytes::{InvalidSize, decimal};
use crate::{Bytes, InvalidSpan, Span};

/// The longest duration that can be asked for: a week.
const LONGEST: Span = Span(Duration::from_hours(7 * 24));

/// The longest that browsers are asked to remember something for: two years.
const LONGEST_AGE: Span = Span(Duration::from_hours(2 * 365 * 24));

/// The least memory that Docker starts a container with (`docker run --memory`): 6 MiB.
const LEAST_MEMORY: u64 = 6 << 20;

/// A number that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidNumber {
    #[error("'{text}' is not a whole number from {least} to {most}")]
    Whole { text: String, least: u64, most: u64 },
    #[error("'{0}' is neither true nor false")]
    Flag(String),
    #[error(transparent)]
    Size(#[from] InvalidSize),
    #[error("'{0}' is not a size: write a number with a unit, such as 10m or 2g, or 0 for no limit")]
    BodyLimit(String),
    #[error("{0} is less than the 6m that Docker needs at least")]
    TooSmall(String),
    #[error("'{0}' is not a limit: write a whole number, or -1 for none")]
    Ulimit(String),
    #[error("'{0}' is not a number of CPUs: write one from 0.01 to 1024, such as 0.5 or 2")]
    Cpus(String),
    #[error("'{0}' is not a share: write a percentage from 0% to 100%, such as 5% or 0.5%")]
    Percent(String),
    #[error(transparent)]
    Span(#[from] InvalidSpan),
    #[error("'{text}' is too long: the longest is {most}")]
    TooLong { text: String, most: &'static str },
    #[error("no time at all: it must be more than 0s")]
    NoTime,
    #[error("'{text}' is not a time from {least} to {most}")]
    Time { text: String, least: Span, most: Span },
    #[error("'{0}' is not a share to work with: write a percentage from 1% to 100%, such as 50%")]
    TooIdle(String),
}

/// A whole number in `range`.
pub(super) fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, InvalidNumber> {
    move |text| {
        let number = text
            .parse()
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| InvalidNumber::Whole {
            text: text.to_owned(),
            least: *range.start(),
            most: *range.end(),
        })
    }
}

/// The number of a port of TCP.
pub(super) fn port_number(text: &str) -> Result<u16, InvalidNumber> {
    whole(1..=65_535)(text)
}

/// `true` or `false`.
pub(crate) fn flag(text: &str) -> Result<bool, InvalidNumber> {
    text.parse().map_err(|_| InvalidNumber::Flag(text.to_owned()))
}

/// A duration of at most a week; a number alone is seconds.
pub(super) fn span(text: &str) -> Result<Span, InvalidNumber> {
    span_within(text, LONGEST, "a week")
}

/// How long browsers remember something: at most two years.
pub(super) fn max_age(text: &str) -> Result<Span, InvalidNumber> {
    span_within(text, LONGEST_AGE, "730d")
}

fn span_within(text: &str, longest: Span, most: &'static str) -> Result<Span, InvalidNumber> {
    let span = match text.parse() {
        Ok(seconds) => Span::seconds(seconds),
        Err(_) => text.parse::<Span>()?,
    };
    if span > longest { Err(InvalidNumber::TooLong { text: text.to_owned(), most }) } else { Ok(span) }
}

/// A duration that is the limit of a wait: some time, at most a week.
pub(super) fn limit(text: &str) -> Result<Span, InvalidNumber> {
    let span = span(text)?;
    if span.is_zero() { Err(InvalidNumber::NoTime) } else { Ok(span) }
}

/// A duration from `least` to `most`.
pub(super) fn span_from(least: Span, most: Span) -> impl Fn(&str) -> Result<Span, InvalidNumber> {
    move |text| {
        let found = Some(span(text)?).filter(|span| (least..=most).contains(span));
        found.ok_or_else(|| InvalidNumber::Time { text: text.to_owned(), least, most })
    }
}

/// Memory in bytes, enough for a container.
pub(super) fn size(text: &str) -> Result<u64, InvalidNumber> {
    let Bytes(bytes) = text.parse()?;
    if bytes < LEAST_MEMORY { Err(InvalidNumber::TooSmall(text.to_owned())) } else { Ok(bytes) }
}

/// Shared memory in bytes: some.
pub(super) fn shm_size(text: &str) -> Result<u64, InvalidNumber> {
    let Bytes(bytes) = text.parse()?;
    if bytes > 0 { Ok(bytes) } else { Err(InvalidSize(text.to_owned()).into()) }
}

/// A limit of the kernel; -1: none.
pub(super) fn ulimit(text: &str) -> Result<i64, InvalidNumber> {
    text.parse().ok().filter(|limit| *limit >= -1).ok_or_else(|| InvalidNumber::Ulimit(text.to_owned()))
}

/// The bytes that a body may have; 0, which needs no unit: as many as it likes.
pub(super) fn body_limit(text: &str) -> Result<u64, InvalidNumber> {
    if text == "0" {
        return Ok(0);
    }
    text.parse().map(|Bytes(bytes)| bytes).map_err(|_| InvalidNumber::BodyLimit(text.to_owned()))
}

/// Thousandths of a CPU.
pub(super) fn cpus(text: &str) -> Result<u64, InvalidNumber> {
    let thousandths = decimal(text, 3).filter(|thousandths| (10..=1_024_000).contains(thousandths));
    thousandths.ok_or_else(|| InvalidNumber::Cpus(text.to_owned()))
}

/// A percentage, in thousandths.
pub(super) fn percent(text: &str) -> Result<u32, InvalidNumber> {
    let number = text.strip_suffix('%').map(str::trim_end);
    let thousandths = number.and_then(|number| decimal(number, 1)).filter(|thousandths| *thousandths <= 1000);
    thousandths
        .and_then(|thousandths| u32::try_from(thousandths).ok())
        .ok_or_else(|| InvalidNumber::Percent(text.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_as_docker_reads_them() {
        for (text, bytes) in
            [("512m", 512 << 20), ("1.5g", 1536 << 20), ("1 GiB", 1 << 30), ("8388608b", 8 << 20)]
        {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "512", "m", "-1g", "1e3m", "1.2345g", "99999999999t", "1x", "5m", ".5g"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_body_may_be_small_or_without_limit() {
        for (text, bytes) in [("0", 0), ("0b", 0), ("1b", 1), ("1.5k", 1536), ("10m", 10 << 20)] {
            assert_eq!(body_limit(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "10", "none", "-1m"] {
            assert!(body_limit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_and_cpus_are_exact() {
        assert_eq!(percent("5%").unwrap(), 50);
        assert_eq!(percent("0.5 %").unwrap(), 5);
        assert_eq!(percent("100%").unwrap(), 1000);
        for text in ["5", "0.05%", "101%", "-1%", "%"] {
            assert!(percent(text).is_err(), "{text}");
        }
        assert_eq!(cpus("1.5").unwrap(), 1500);
        assert_eq!(cpus("0.125").unwrap(), 125);
        for text in ["0", "0.001", "500m", "1,5", "2000"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_alone_is_seconds() {
        assert_eq!(span("30").unwrap(), Span::seconds(30));
        assert_eq!(span("1m 30s").unwrap(), Span::seconds(90));
        assert!(span("0.5").is_err());
        assert!(span("8d").is_err());
        assert!(limit("0s").is_err());
    }
}
