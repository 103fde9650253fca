//! Whether a deployment may begin now, by the times that the deploy file names.

use cutover_core::{DeployWindow, Timestamp};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{ToSpan, ZonedDateTime};

use crate::error::Error;

/// When the next one may begin, where none may now.
///
/// # Errors
/// A time zone that this machine doesn't know.
pub(crate) fn closed_until(windows: &[DeployWindow], now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let mut next: Option<Timestamp> = None;
    for window in windows {
        let zone = TimeZone::get(window.zone())
            .map_err(|source| Error::Zone { window: Box::new(window.clone()), source: Box::new(source) })?;
        let Some(now) = moment(now) else { continue };
        let now = now.to_zoned_datetime(zone);
        let minute = u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute())).unwrap_or_default();
        if window.contains(weekday(&now), minute) {
            return Ok(None);
        }
        next = next.into_iter().chain(opens(window, &now)).min();
    }
    Ok(next)
}

/// When it begins next.
fn opens(window: &DeployWindow, now: &ZonedDateTime) -> Option<Timestamp> {
    let mut days = (0..=7).filter_map(|day| now.checked_add(day.days()).ok());
    days.find_map(|day| {
        let minute = window.begins_on(weekday(&day))?;
        let time = Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
        let begins = day.date().to_datetime(time).to_zoned_datetime(now.time_zone().clone()).ok()?;
        (begins > *now).then(|| u64::try_from(begins.timestamp().as_millisecond()).ok().map(Timestamp))?
    })
}

/// Counted from Monday.
fn weekday(at: &ZonedDateTime) -> usize {
    usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or_default()
}

fn moment(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp(at.as_millisecond().try_into().unwrap())
    }

    fn next(windows: &[&str], now: &str) -> Option<Timestamp> {
        let windows: Vec<_> = windows.iter().map(|window| window.parse().unwrap()).collect();
        closed_until(&windows, at(now)).unwrap()
    }

    #[test]
    fn times_are_those_of_their_zone_in_summer_and_in_winter() {
        let office = &["Mon-Fri 09:00-16:30 Europe/Berlin"][..];
        // 2026-11-27 is a Friday.
        assert_eq!(next(office, "2026-11-27T08:00:00Z"), None);
        assert_eq!(next(office, "2026-11-27T07:59:59Z"), Some(at("2026-11-27T08:00:00Z")));
        assert_eq!(next(office, "2026-11-27T15:30:00Z"), Some(at("2026-11-30T08:00:00Z")));
        assert_eq!(next(office, "2026-07-03T06:59:00Z"), Some(at("2026-07-03T07:00:00Z")));
        assert_eq!(next(&[], "2026-11-27T08:00:00Z"), None);
    }

    #[test]
    fn the_first_one_that_opens_is_told_also_a_week_later() {
        let both = &["Sun 22:00-02:00 America/New_York", "Sat 10:00-11:00 UTC"][..];
        assert_eq!(next(both, "2026-11-30T06:59:00Z"), None, "it is two minutes to two on Monday there");
        assert_eq!(next(both, "2026-11-30T07:00:00Z"), Some(at("2026-12-05T10:00:00Z")));
        assert_eq!(next(&["Fri 09:00-10:00 UTC"], "2026-11-27T10:00:00Z"), Some(at("2026-12-04T09:00:00Z")));
    }

    #[test]
    fn a_zone_that_is_none_is_told() {
        let window: DeployWindow = "Mon 09:00-10:00 Europe/Atlantis".parse().unwrap();
        let error = closed_until(&[window], at("2026-11-27T10:00:00Z")).unwrap_err().to_string();
        assert!(error.contains("Europe/Atlantis"), "{error}");
    }
}
