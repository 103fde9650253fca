use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Counts, millis};

/// What both versions did over the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When it began, after the beginning of the trial.
    #[serde(with = "millis")]
    pub from: Duration,
    /// When it ended.
    #[serde(with = "millis")]
    pub to: Duration,
    /// What the new version did.
    pub new: Counts,
    /// What the old one did beside it.
    pub old: Counts,
    /// What befell the new version's replicas.
    #[serde(default, skip_serializing_if = "Incidents::are_none")]
    pub incidents: Incidents,
    /// Whether these are requests that were sent on the canary's behalf, as many to both versions. What clients sent at the same time
    /// stands in a window of its own: a mixture that differs would be taken for a difference of the versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synthetic: bool,
}

impl Window {
    pub(crate) fn time(&self) -> (Duration, Duration) {
        (self.from, self.to)
    }
}

/// What befell replicas within some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incidents {
    /// Ends that nobody had asked for.
    pub restarts: u32,
    /// Of those, the ones for want of memory.
    pub out_of_memory: u32,
}

impl Incidents {
    /// Nothing did.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}
