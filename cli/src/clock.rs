//! Times for people: this machine's clock, in its own time zone.

use std::time::{Duration, SystemTime};

use cutover_core::Timestamp;
use jiff::tz::TimeZone;

/// This machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::default().after(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// So long ago, by this machine's clock.
pub(crate) fn ago(span: Duration) -> Timestamp {
    let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Timestamp(now().0.saturating_sub(span))
}

/// `12:01:07`
pub(crate) fn time_of_day(at: Timestamp) -> String {
    local(at, "%H:%M:%S")
}

/// `2026-11-24 12:01:07`
pub(crate) fn date_and_time(at: Timestamp) -> String {
    local(at, "%Y-%m-%d %H:%M:%S")
}

/// `2026-11-24T11:01:07Z`, as ISO 8601 has it.
pub(crate) fn in_utc(at: Timestamp) -> String {
    formatted(at, TimeZone::UTC, "%Y-%m-%dT%H:%M:%SZ")
}

/// `0.4 s`, `12 s`, `2 min 5 s`, `3 h 20 min`, `4 d 2 h`: two units at most.
pub(crate) fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        // As the tenths are printed, 9.96 s is ten.
        _ if span < Duration::from_millis(9_950) => format!("{:.1} s", span.as_secs_f64()),
        0..60 => format!("{:.0} s", span.as_secs_f64().min(59.0)),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn two(large: u64, unit: &str, small: u64, part: &str) -> String {
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {part}") }
}

fn local(at: Timestamp, format: &str) -> String {
    formatted(at, TimeZone::system(), format)
}

fn formatted(at: Timestamp, zone: TimeZone, format: &str) -> String {
    let time = i64::try_from(at.0).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.to_zoned_datetime(zone).strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_at_every_length() {
        for (millis, text) in [
            (0, "0.0 s"),
            (440, "0.4 s"),
            (9_949, "9.9 s"),
            (9_960, "10 s"),
            (59_900, "59 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (352_800_000, "4 d 2 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
