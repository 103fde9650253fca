use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::millis;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Go on to the next step.
    Proceed,
    /// Stay at this one.
    Hold,
    /// Stay, and send the declared synthetic requests.
    Drive,
    /// Give all traffic back to the old version.
    GoBack,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proceed => "go on",
            Self::Hold => "hold",
            Self::Drive => "hold, with synthetic requests",
            Self::GoBack => "go back",
        })
    }
}

/// What is to be done about an outcome that decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Until then.
    pub meanwhile: Action,
    /// How long after the end of the step's time.
    #[serde(with = "millis")]
    pub patience: Duration,
    /// And then.
    pub then: Action,
}

impl Policy {
    pub(crate) fn action(self, elapsed: Duration, hold: Duration) -> Action {
        if elapsed < hold.saturating_add(self.patience) { self.meanwhile } else { self.then }
    }
}

/// The policies for all such outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Neither harm nor health is proven.
    pub inconclusive: Policy,
    /// The new version got no requests.
    pub no_traffic: Policy,
    /// What is to be judged by couldn't be read.
    pub metrics_down: Policy,
}

impl Default for Policies {
    /// Synthetic requests where there is no traffic. Without anything to judge by, back after ten minutes: what nobody can vouch
    /// for doesn't go live. With too little, a person decides: going back there would be a false alarm that nobody declared.
    fn default() -> Self {
        let policy = |meanwhile, then| Policy { meanwhile, patience: Duration::from_secs(600), then };
        Self {
            inconclusive: policy(Action::Hold, Action::Hold),
            no_traffic: policy(Action::Drive, Action::GoBack),
            metrics_down: policy(Action::Hold, Action::GoBack),
        }
    }
}
