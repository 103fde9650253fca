//! One fault: where, and how.

use cutover_bus::Point;
use cutover_core::Stage;

/// How a program fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// SIGKILL.
    Kill,
    /// SIGSTOP for longer than twice the time that a worker may be silent, then SIGCONT: it goes on where it was, and must
    /// be refused.
    Stop,
}

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) stage: Stage,
    pub(crate) point: Point,
    pub(crate) how: How,
}

impl How {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
        }
    }
}

impl Case {
    /// Every stage at every point, killed; and stopped where something would be done late: with the claim in hand, and
    /// with the effect done.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let kills = Stage::ALL
            .into_iter()
            .flat_map(|stage| Point::ALL.map(|point| Self { stage, point, how: How::Kill }));
        let stops = Stage::ALL.into_iter().flat_map(|stage| {
            [Point::Claimed, Point::Done].map(|point| Self { stage, point, how: How::Stop })
        });
        kills.chain(stops)
    }

    /// The order that the program finds.
    pub(crate) fn order(&self) -> String {
        format!("{} {} {}", self.stage, self.point, self.how.as_str())
    }
}
