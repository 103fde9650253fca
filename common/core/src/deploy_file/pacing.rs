//! The sections `migrations.locks` and `migrations.backfill`: how hard locks are asked for, and how much backfills take.

use super::error::{Place, Problem, Problems};
use super::section::Section;
use super::units::{InvalidNumber, limit, percent, span_from, whole};
use crate::{BackfillTerms, Engine, LockTerms, Span};

/// The section `locks` as it stands in the file.
#[derive(Clone, Default)]
pub(super) struct Locks {
    place: Option<Place>,
    wait: Option<Span>,
    patience: Option<Span>,
    /// None within: `never`.
    end_blockers: Option<Option<Span>>,
    statement: Option<Span>,
}

/// The section `backfill` as it stands in the file.
#[derive(Clone, Default)]
pub(super) struct Backfill {
    place: Option<Place>,
    batch_time: Option<Span>,
    batch_size: Option<u32>,
    share: Option<u16>,
    max_lag: Option<Span>,
}

/// Reads the section `locks`.
pub(super) fn locks(mut section: Section<'_>, problems: &mut Problems) -> Locks {
    let wait = span_from(Span::millis(1), Span::seconds(10));
    let locks = Locks {
        place: section.place,
        wait: section.value("wait", wait, problems),
        patience: section.value("patience", limit, problems),
        end_blockers: section.value("end_blockers", never_or(limit), problems),
        statement: section.value("statement_timeout", limit, problems),
    };
    section.done(problems);
    locks
}

/// Reads the section `backfill`.
pub(super) fn backfill(mut section: Section<'_>, problems: &mut Problems) -> Backfill {
    let batch_time = span_from(Span::millis(1), Span::seconds(2));
    let backfill = Backfill {
        place: section.place,
        batch_time: section.value("batch_time", batch_time, problems),
        batch_size: section.value("batch_size", whole(1..=100_000), problems),
        share: section.value("share", share, problems),
        max_lag: section.value("max_lag", limit, problems),
    };
    section.done(problems);
    backfill
}

/// A time, or `never`.
fn never_or(
    read: impl Fn(&str) -> Result<Span, InvalidNumber>,
) -> impl Fn(&str) -> Result<Option<Span>, InvalidNumber> {
    move |text| if text == "never" { Ok(None) } else { read(text).map(Some) }
}

/// A share of the time that isn't nothing, in thousandths.
fn share(text: &str) -> Result<u16, InvalidNumber> {
    let share = u16::try_from(percent(text)?).ok().filter(|share| *share >= 10);
    share.ok_or_else(|| InvalidNumber::TooIdle(text.to_owned()))
}

impl Locks {
    /// This, and the other where this one says nothing.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            place: self.place.or(under.place),
            wait: self.wait.or(under.wait),
            patience: self.patience.or(under.patience),
            end_blockers: self.end_blockers.or(under.end_blockers),
            statement: self.statement.or(under.statement),
        }
    }

    /// What it means.
    pub(super) fn resolved(&self) -> LockTerms {
        let usual = LockTerms::default();
        LockTerms {
            wait: self.wait.unwrap_or(usual.wait),
            patience: self.patience.unwrap_or(usual.patience),
            end_blockers: self.end_blockers.unwrap_or(usual.end_blockers),
            statement: self.statement.unwrap_or(usual.statement),
        }
    }

    /// Says what can't be had together.
    pub(super) fn check(&self, path: &str, is_rails: bool, problems: &mut Problems) {
        let LockTerms { wait, patience, end_blockers, .. } = self.resolved();
        if patience < wait {
            let message = format!("one wait ({wait}) is longer than all of them together ({patience})");
            let path = format!("{path}.locks");
            problems.add(Problem::new(&path, self.place, message).hint("raise `patience`, or lower `wait`"));
        }
        if is_rails && end_blockers.is_some() {
            let message = "nobody is ended for migrations of Rails, which look for no one who is in the way";
            let path = format!("{path}.locks.end_blockers");
            problems.add(Problem::new(&path, self.place, message).hint("leave out `end_blockers`"));
        }
    }
}

impl Backfill {
    /// This, and the other where this one says nothing.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            place: self.place.or(under.place),
            batch_time: self.batch_time.or(under.batch_time),
            batch_size: self.batch_size.or(under.batch_size),
            share: self.share.or(under.share),
            max_lag: self.max_lag.or(under.max_lag),
        }
    }

    /// What it means.
    pub(super) fn resolved(&self) -> BackfillTerms {
        let usual = BackfillTerms::default();
        BackfillTerms {
            batch_time: self.batch_time.unwrap_or(usual.batch_time),
            batch_size: self.batch_size.unwrap_or(usual.batch_size),
            share: self.share.unwrap_or(usual.share),
            max_lag: self.max_lag.unwrap_or(usual.max_lag),
        }
    }

    /// Says what nobody would keep to.
    pub(super) fn check(&self, path: &str, is_rails: bool, engine: Engine, problems: &mut Problems) {
        let path = format!("{path}.backfill");
        if is_rails && self.place.is_some() {
            let message = "migrations of Rails have no backfills";
            problems.add(Problem::new(&path, self.place, message).hint("leave out `backfill`"));
        } else if self.max_lag.is_some() && !engine.is_postgresql() {
            let message = "MySQL and MariaDB don't tell how far their replicas are behind";
            let path = format!("{path}.max_lag");
            let hint = "leave out `max_lag`; with a smaller `share`, replicas have more time to follow";
            problems.add(Problem::new(&path, self.place, message).hint(hint));
        }
    }
}
