use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Asked, Window, millis};

/// All that a verdict is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// What was counted, of all steps of the trial, in the order of time. Windows from before the first step, in which the new
    /// version got nothing, say what the old one is like: how fast it is, and whether its failures come together.
    pub windows: Vec<Window>,
    /// When that is.
    pub moment: Moment,
    /// What a metrics server has answered.
    #[serde(default)]
    pub asked: Vec<Asked>,
}

/// How late it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Since the step began.
    #[serde(with = "millis")]
    pub elapsed: Duration,
    /// How long the step is to last.
    #[serde(with = "millis")]
    pub hold: Duration,
    /// For how long the proxies haven't been heard.
    #[serde(with = "millis")]
    pub silent: Duration,
}
