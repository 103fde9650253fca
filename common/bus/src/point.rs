//! The points of a task at which a program may be made to fail.

use std::fmt;
use std::str::FromStr;

use cutover_core::Stage;

/// A point of a task: the places where a crash leaves different things behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The work message is here; nothing is claimed.
    BeforeClaim,
    /// The claim is in the journal; nothing is done.
    Claimed,
    /// The effect is there; nothing is recorded.
    Done,
    /// The result is in the journal; the message is not acknowledged, and what follows may not be published.
    Recorded,
    /// What follows is published; the message is not acknowledged.
    BeforeAck,
}

/// Called whenever a task reaches a point.
pub type AtPoint = fn(Stage, Point);

impl Point {
    /// Every point, in order.
    pub const ALL: [Self; 5] =
        [Self::BeforeClaim, Self::Claimed, Self::Done, Self::Recorded, Self::BeforeAck];

    const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeClaim => "before-claim",
            Self::Claimed => "claimed",
            Self::Done => "done",
            Self::Recorded => "recorded",
            Self::BeforeAck => "before-ack",
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a point of a task")]
pub struct UnknownPoint(String);

impl FromStr for Point {
    type Err = UnknownPoint;

    fn from_str(text: &str) -> Result<Self, UnknownPoint> {
        Self::ALL
            .into_iter()
            .find(|point| point.as_str() == text)
            .ok_or_else(|| UnknownPoint(text.to_owned()))
    }
}
