use serde::{Deserialize, Serialize};

/// When a replica is left out whose requests fail: one that doesn't accept a connection, closes it before an answer, or doesn't
/// answer in time. Never more than half of the replicas are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejection {
    /// Failed requests in a row after which it is left out; 0: it never is.
    pub failures: u32,
    /// For how long, the first time, in milliseconds; each further time in a row is longer by as much.
    pub base_ms: u64,
    /// For how long at the most, in milliseconds.
    pub max_ms: u64,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { failures: 3, base_ms: 5_000, max_ms: 60_000 }
    }
}

impl Ejection {
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
