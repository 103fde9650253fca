//! When deployments may begin.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A part of the week, on the clocks of a time zone: `Mon-Fri 09:00-16:30 Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployWindow {
    /// The days that it begins on, from Monday.
    days: [bool; 7],
    /// When it begins, in minutes of the day.
    from: u16,
    /// When it is over: a minute of the day that isn't part of it. At or before the beginning it is one of the next day.
    until: u16,
    /// A name of the IANA time zone database.
    zone: String,
    text: String,
}

/// A text that is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDeployWindow {
    /// It has too few parts, or too many.
    #[error(
        "'{0}' is none: write the days, the times and the zone, as in `Mon-Fri 09:00-16:30 Europe/Berlin`"
    )]
    Parts(String),
    /// A day that is none.
    #[error(
        "'{0}' is no day: one of Mon, Tue, Wed, Thu, Fri, Sat, Sun, with a hyphen or commas between them"
    )]
    Day(String),
    /// Times that are none.
    #[error("'{0}' are no times: write the first and the last one, as in 09:00-16:30")]
    Times(String),
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Minutes of a day.
const DAY: u16 = 24 * 60;

impl DeployWindow {
    /// The time zone that its times are of, as the IANA database names it.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The minute of the day at which it begins, on a day of the week that it begins on; counted from Monday, which is 0.
    pub fn begins_on(&self, day: usize) -> Option<u16> {
        self.days.get(day).is_some_and(|on| *on).then_some(self.from)
    }

    /// Whether a minute of a day of the week, counted from Monday, is within it.
    pub fn contains(&self, day: usize, minute: u16) -> bool {
        let on = |day: usize| self.days.get(day % 7).is_some_and(|on| *on);
        if self.from < self.until {
            return on(day) && (self.from..self.until).contains(&minute);
        }
        on(day) && minute >= self.from || on(day + 6) && minute < self.until
    }
}

impl FromStr for DeployWindow {
    type Err = InvalidDeployWindow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<_> = text.split_whitespace().collect();
        let [days, times, zone] = parts.as_slice() else {
            return Err(InvalidDeployWindow::Parts(text.to_owned()));
        };
        let (from, until) =
            self::times(times).ok_or_else(|| InvalidDeployWindow::Times((*times).to_owned()))?;
        Ok(Self { days: self::days(days)?, from, until, zone: (*zone).to_owned(), text: parts.join(" ") })
    }
}

/// Days and ranges of them, with commas between. A range may go over the end of the week.
fn days(text: &str) -> Result<[bool; 7], InvalidDeployWindow> {
    let day = |name: &str| {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        DAYS.iter().position(|known| same(known)).ok_or_else(|| InvalidDeployWindow::Day(name.to_owned()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let last = if last < first { last + 7 } else { last };
        for at in first..=last {
            if let Some(on) = days.get_mut(at % 7) {
                *on = true;
            }
        }
    }
    Ok(days)
}

/// Two times of a day; the second one may be `24:00`.
fn times(text: &str) -> Option<(u16, u16)> {
    let minute = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let number = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok())?;
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
    };
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    (from < DAY).then_some((from, until))
}

impl fmt::Display for DeployWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for DeployWindow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn window(text: &str) -> DeployWindow {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_open_on_its_days_within_its_times() {
        let window = window("Mon-Wed,fri  09:00-16:30 Europe/Berlin");
        assert_eq!(
            (window.to_string().as_str(), window.zone()),
            ("Mon-Wed,fri 09:00-16:30 Europe/Berlin", "Europe/Berlin")
        );
        let open: Vec<_> = (0..7).filter(|day| window.contains(*day, 9 * 60)).collect();
        assert_eq!(open, [0, 1, 2, 4]);
        assert!(window.contains(0, 16 * 60 + 29) && !window.contains(0, 16 * 60 + 30));
        assert!(!window.contains(0, 8 * 60 + 59));
        assert_eq!((window.begins_on(4), window.begins_on(3)), (Some(9 * 60), None));
    }

    #[test]
    fn a_window_may_go_over_midnight_and_over_the_end_of_the_week() {
        let window = window("Sat-Sun 22:00-02:00 UTC");
        let open: Vec<_> = (0..7).filter(|day| window.contains(*day, 60)).collect();
        assert_eq!(open, [0, 6], "the night after Saturday, and the one after Sunday");
        assert!(window.contains(5, 23 * 60) && !window.contains(5, 60) && !window.contains(0, 120));
        let always = super::DeployWindow::from_str("Fri-Mon 00:00-24:00 UTC").unwrap();
        let open: Vec<_> = (0..7).filter(|day| always.contains(*day, DAY - 1)).collect();
        assert_eq!(open, [0, 4, 5, 6]);
    }

    #[test]
    fn what_is_none_says_what_one_is() {
        for (text, told) in [
            ("09:00-16:30", "write the days, the times and the zone"),
            ("Mon-Fri 09:00-16:30 Europe Berlin", "write the days, the times and the zone"),
            ("Mon-Fry 09:00-16:30 UTC", "'Fry' is no day"),
            ("Mon, 09:00-16:30 UTC", "'' is no day"),
            ("Mon 9-17 UTC", "'9-17' are no times"),
            ("Mon 24:00-25:00 UTC", "'24:00-25:00' are no times"),
            ("Mon 09:60-10:00 UTC", "'09:60-10:00' are no times"),
        ] {
            let error = text.parse::<DeployWindow>().unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
