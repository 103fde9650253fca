//! How hard migrations ask for locks, and how much of the database backfills take.

use serde::{Deserialize, Serialize};

use crate::Span;

/// How migrations ask for locks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockTerms {
    /// One wait for a lock: all who come after it to the same table wait behind it. As patience ends, up to three times as long.
    pub wait: Span,
    /// All tries of one migration to get its locks.
    pub patience: Span,
    /// How long a transaction must have been open for it to be ended where it is in the way. None: none is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_blockers: Option<Span>,
    /// One statement, its locks held. What is built beside reads and writes has a limit of its own.
    pub statement: Span,
}

/// How backfills work beside the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillTerms {
    /// What a batch is to take: its rows are locked so long.
    pub batch_time: Span,
    /// Rows per batch, at most.
    pub batch_size: u32,
    /// Of the time, the share in which it works, in thousandths: from 1 to 1,000.
    pub share: u16,
    /// How far replicas that follow may be behind before it waits for them.
    pub max_lag: Span,
}

impl Default for LockTerms {
    fn default() -> Self {
        Self {
            wait: Span::millis(100),
            patience: Span::seconds(60),
            end_blockers: None,
            statement: Span::seconds(15 * 60),
        }
    }
}

impl LockTerms {
    /// Whether they are those of who says nothing.
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for BackfillTerms {
    fn default() -> Self {
        // Half as long a pause as a batch has taken.
        Self { batch_time: Span::millis(50), batch_size: 100_000, share: 667, max_lag: Span::seconds(2) }
    }
}

impl BackfillTerms {
    /// Whether they are those of who says nothing.
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}
