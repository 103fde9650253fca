//! What it took to bring an image onto hosts.

use std::time::Duration;

use crate::way::Way;

/// Which state the hosts and the image were in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// The hosts have nothing.
    First,
    /// They have the version before, and only the application's own layer of 1 MiB is another one.
    Changed,
    /// They have it.
    Unchanged,
    /// Several hosts, which have nothing.
    Fleet,
}

impl Case {
    pub(crate) const ALL: [Self; 4] = [Self::First, Self::Changed, Self::Unchanged, Self::Fleet];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "the first time",
            Self::Changed => "1 MiB of one layer changed",
            Self::Unchanged => "nothing changed",
            Self::Fleet => "several hosts at once, the first time",
        }
    }
}

/// One measurement.
pub(crate) struct Sent {
    pub(crate) way: Way,
    pub(crate) case: Case,
    /// From this machine's Docker Engine to where it is sent from, where that is a step of its own.
    pub(crate) out: Duration,
    /// From there until the last host has it.
    pub(crate) onto: Duration,
    /// All bytes on the cables meanwhile, both ways.
    pub(crate) wire: u64,
}

impl Sent {
    /// It in one line, as it goes.
    pub(crate) fn line(&self) -> String {
        let Self { way, case, out, onto, wire } = self;
        let (out, onto) = (out.as_secs_f64(), onto.as_secs_f64());
        format!("{:<40}{:<40}{out:>7.2}{onto:>7.2}{wire:>12}", case.name(), way.name())
    }
}
