use serde::{Deserialize, Serialize};

/// A finite number that a measured value is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Limit(f64);

// No NaN can be in it.
impl Eq for Limit {}

impl Limit {
    /// The number.
    pub fn number(self) -> f64 {
        self.0
    }
}

/// A limit that nothing can be held against.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a limit is a finite number")]
pub struct InvalidLimit;

impl TryFrom<f64> for Limit {
    type Error = InvalidLimit;

    fn try_from(number: f64) -> Result<Self, InvalidLimit> {
        if number.is_finite() { Ok(Self(number)) } else { Err(InvalidLimit) }
    }
}

impl From<Limit> for f64 {
    fn from(limit: Limit) -> Self {
        limit.0
    }
}
