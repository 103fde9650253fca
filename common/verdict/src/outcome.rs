use std::fmt;

use serde::{Deserialize, Serialize};

/// What is known of the new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is at most as bad as tolerated, or its time is over without a sign of harm: the terms say which is needed.
    Pass,
    /// It is worse than tolerated.
    Fail,
    /// Neither is known.
    Inconclusive,
    /// It got no requests.
    NoTraffic,
    /// What it is to be judged by couldn't be read.
    MetricsDown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::NoTraffic => "no traffic",
            Self::MetricsDown => "metrics down",
        })
    }
}
