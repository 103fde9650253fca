use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Asked, Histogram, Round, Window, millis};

/// All that a verdict is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// How long the old version's requests took before the trial.
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub before: Histogram,
    /// What was counted, of all steps of the trial, in the order of time. Windows from before the first step, in which the new
    /// version got nothing, say what the old one is like: how fast it is, and whether its failures come together.
    pub windows: Vec<Window>,
    /// When that is.
    pub moment: Moment,
    /// What a metrics server has answered.
    #[serde(default)]
    pub asked: Vec<Asked>,
}

impl Observed {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.asked.is_empty() && self.before.is_empty()
    }

    /// Adds what was observed after it.
    pub fn extend(&mut self, later: Self) {
        self.before = self.before.plus(&later.before);
        self.windows.extend(later.windows);
        if later.moment != Moment::default() {
            self.moment = later.moment;
        }
        for Asked { name, rounds } in later.asked {
            self.answered(&name, rounds);
        }
    }

    /// Adds answers to a query.
    pub fn answered(&mut self, query: &str, rounds: impl IntoIterator<Item = Round>) {
        match self.asked.iter_mut().find(|asked| asked.name == query) {
            Some(asked) => asked.rounds.extend(rounds),
            None => {
                self.asked.push(Asked { name: query.to_owned(), rounds: rounds.into_iter().collect() });
            }
        }
    }
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
