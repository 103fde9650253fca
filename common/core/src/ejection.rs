use serde::{Deserialize, Serialize};

use crate::Span;

/// When the proxy leaves a replica out whose requests fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejection {
    /// Failed requests in a row after which it is left out; 0: it never is.
    pub failures: u32,
    /// For how long, the first time; each further time in a row is longer by as much.
    pub base_time: Span,
    /// For how long at the most.
    pub max_time: Span,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { failures: 3, base_time: Span::seconds(5), max_time: Span::seconds(60) }
    }
}

impl Ejection {
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
