use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Action, Evidence, Observed, Outcome, Reason, Terms, Trial};

/// What is known of the new version, why, and what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is known.
    pub outcome: Outcome,
    /// What is to be done.
    pub action: Action,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What it stands on.
    pub evidence: Evidence,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<_> = self.reasons.iter().map(ToString::to_string).collect();
        write!(f, "{} ({}): {}\n{}", self.outcome, self.action, reasons.join("; "), self.evidence)
    }
}

/// Judges all that was observed: a pure function, so the same is said of it later.
///
/// Who judges every second keeps a [`Trial`] instead, which says the same and remembers the windows.
pub fn judge(terms: &Terms, observed: &Observed) -> Verdict {
    let mut trial = Trial::new(terms.clone());
    trial.know(&observed.before);
    for window in &observed.windows {
        trial.observe(window);
    }
    trial.verdict(observed.moment, &observed.asked)
}
