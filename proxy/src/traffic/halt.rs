//! What an operator has done to the traffic of a service, as the ledger keeps it.

use cutover_control::{Choice, Refusal};
use serde::{Deserialize, Serialize};

use super::boot_clock::Deadline;
use super::canary::LONGEST_HOLD_MS;
use super::marker::Marker;

/// New requests wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub(crate) until: Deadline,
    pub(crate) hold_ms: u64,
    pub(crate) max_waiting: u32,
}

/// New requests get a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Maintenance {
    pub(crate) page: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub(crate) until: Option<u64>,
    pub(crate) choose: Option<Choice>,
}

impl Pause {
    pub(crate) fn new(wanted: &cutover_control::Pause, until: Deadline) -> Result<Self, Refusal> {
        if !(1..=LONGEST_HOLD_MS).contains(&wanted.hold_ms) {
            let message = format!("{}: a pause must be at least 1 ms and at most an hour", wanted.key);
            return Err(Refusal::Invalid { message });
        }
        Ok(Self { until, hold_ms: wanted.hold_ms, max_waiting: wanted.max_waiting })
    }
}

impl Maintenance {
    pub(crate) fn new(wanted: &cutover_control::Maintenance) -> Result<Self, Refusal> {
        let wrong = |wrong| Refusal::Invalid { message: format!("{}: {wrong}", wanted.key) };
        wanted.choose.as_ref().map(Marker::new).transpose().map_err(wrong)?;
        Ok(Self { page: wanted.page.clone(), until: wanted.until, choose: wanted.choose.clone() })
    }
}
