use serde::{Deserialize, Serialize};

use crate::SetStatus;

/// A deployment that is tried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryStatus {
    /// Its targets, and what became of the requests that were really sent there.
    pub set: SetStatus,
    /// How many of 1,000 new requests go there; 0 once it was not renewed in time.
    pub weight: u16,
    /// For how much longer that holds without a renewal, in milliseconds.
    pub held_ms: u64,
    /// What was sent there only to see.
    pub mirrored: MirrorStatus,
}

/// What became of mirrored requests; cumulative, as the counters of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Requests that were sent, and have ended.
    pub requests: u64,
    /// Of those, the ones that were answered with 5xx.
    pub server_errors: u64,
    /// Of those, the ones that were not answered to the end, or not in time.
    pub failures: u64,
    /// Requests that should have been sent, but too many had not ended.
    pub left_out: u64,
}

/// A service whose new requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseStatus {
    /// For how much longer, in milliseconds.
    pub left_ms: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// Requests that got 503, as too many were waiting or they had waited for too long.
    pub refused: u64,
}

/// A service that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceStatus {
    /// When it is over by itself, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}
