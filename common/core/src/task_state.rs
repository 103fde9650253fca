//! The state of one task, and the one table that says which fact may follow which state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Claim, Fact, Failure, Output, Progress, Stage, Timestamp};

/// Where a task stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// Claims over all rounds: the number of the last attempt.
    pub claims: u32,
    /// Claims in this round: a replay begins a new one.
    pub claims_in_round: u32,
    /// The sequence of the last claim, void ones included; 0 where there is none. The next claim is appended expecting it.
    pub last_claim: u64,
    /// The sequence of the last claim of this round that is not void; 0 where there is none. Only its facts count.
    pub in_force: u64,
    /// When it was first claimed in this round.
    pub began: Option<Timestamp>,
    /// The step that a canary has come to in this round: whoever takes it over goes on from there, so that no client is sent back
    /// to the old version because a worker is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<u32>,
    /// The state itself.
    pub status: Status,
}

/// The state itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has taken it.
    #[default]
    Waiting,
    /// A worker has it.
    Claimed {
        /// The claim.
        claim: Claim,
        /// How far it is.
        progress: Option<Progress>,
    },
    /// Done.
    Finished {
        /// When.
        at: Timestamp,
        /// What it made.
        output: Output,
    },
    /// The last attempt failed.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        failure: Failure,
    },
}

/// What a fact did to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It changed the state.
    Changed,
    /// It was known, or came from a worker that has been outlived: nothing changed.
    Nothing,
}

/// A fact that can't be true after what the journal already says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal fact: '{fact}' can't follow '{state}'")]
pub struct IllegalFact {
    /// What the journal said before.
    pub state: &'static str,
    /// The kind of the fact.
    pub fact: &'static str,
}

impl TaskState {
    /// The transition table.
    ///
    /// | state | claimed | progressed | finished | failed |
    /// |---|---|---|---|---|
    /// | waiting | → claimed | illegal | illegal | illegal |
    /// | claimed | → claimed (taken over) | stays | → finished | → failed |
    /// | finished | void | illegal | nothing | illegal |
    /// | failed | → claimed (again); void, where it failed for good | illegal | illegal | nothing |
    ///
    /// A fact of another claim than the one in force, outlived or void, changes nothing in any state.
    ///
    /// # Errors
    /// A fact that the table has no place for; the state is as it was.
    pub(crate) fn apply(
        &mut self,
        sequence: u64,
        at: Timestamp,
        fact: &Fact,
    ) -> Result<Applied, IllegalFact> {
        let (known, ahead) = match fact {
            Fact::Claimed(_) => (sequence <= self.last_claim, false),
            Fact::Progressed { claim, .. } | Fact::Finished { claim, .. } | Fact::Failed { claim, .. } => {
                (*claim <= self.last_claim && *claim != self.in_force, *claim > self.last_claim)
            }
        };
        if known {
            return Ok(Applied::Nothing);
        }
        let illegal = IllegalFact { state: self.status.as_str(), fact: fact.kind().as_str() };
        match (&mut self.status, fact) {
            (Status::Waiting | Status::Claimed { .. } | Status::Failed { .. }, Fact::Claimed(claim)) => {
                self.count_claim(sequence);
                self.began.get_or_insert(at);
                self.status = Status::Claimed { claim: claim.clone(), progress: None };
                Ok(Applied::Changed)
            }
            _ if ahead => Err(illegal),
            (Status::Claimed { progress, .. }, Fact::Progressed { progress: further, .. }) => {
                if let Progress::Canary { step, .. } = further {
                    self.reached = Some(*step);
                }
                *progress = Some(further.standing());
                Ok(Applied::Changed)
            }
            (Status::Claimed { .. }, Fact::Finished { output, .. }) => {
                self.status = Status::Finished { at, output: output.clone() };
                Ok(Applied::Changed)
            }
            (Status::Claimed { .. }, Fact::Failed { failure, .. }) => {
                self.status = Status::Failed { at, failure: failure.clone() };
                Ok(Applied::Changed)
            }
            (Status::Finished { .. }, Fact::Finished { .. })
            | (Status::Failed { .. }, Fact::Failed { .. }) => Ok(Applied::Nothing),
            _ => Err(illegal),
        }
    }

    /// Counts a claim that is void: it takes its place in the order, and nothing more.
    pub(crate) const fn count_void_claim(&mut self, sequence: u64) {
        self.claims += 1;
        self.last_claim = sequence;
    }

    const fn count_claim(&mut self, sequence: u64) {
        self.count_void_claim(sequence);
        self.in_force = sequence;
        self.claims_in_round += 1;
    }

    /// The state at the beginning of a new round: what was done counts no more, the order of claims goes on.
    pub(crate) fn in_new_round(&self) -> Self {
        Self { claims: self.claims, last_claim: self.last_claim, ..Self::default() }
    }

    /// Whether a worker has taken it in this round.
    pub const fn was_claimed(&self) -> bool {
        self.claims_in_round > 0
    }

    /// Whether a worker has it now, as far as the journal knows.
    pub const fn is_open(&self) -> bool {
        matches!(self.status, Status::Claimed { .. })
    }

    /// Whether it is done.
    pub const fn is_finished(&self) -> bool {
        matches!(self.status, Status::Finished { .. })
    }

    /// The failure that no attempt will follow.
    pub fn final_failure(&self, stage: Stage) -> Option<&Failure> {
        match &self.status {
            Status::Failed { failure, .. } if !failure.retry || self.claims_in_round >= stage.attempts() => {
                Some(failure)
            }
            _ => None,
        }
    }

    /// Whether nothing will happen to it any more: done, or failed for good.
    pub fn is_settled(&self, stage: Stage) -> bool {
        self.is_finished() || self.final_failure(stage).is_some()
    }

    /// When the next attempt may begin: at once, or, after a failure, with a growing distance from it.
    pub(crate) fn not_before(&self) -> Timestamp {
        match &self.status {
            Status::Failed { at, .. } => at.after(backoff(self.claims_in_round)),
            _ => Timestamp::default(),
        }
    }
}

/// Half a second after the first attempt, then doubled, at most 8 s.
fn backoff(attempts: u32) -> Duration {
    Duration::from_millis(500 << attempts.saturating_sub(1).min(4))
}

impl Status {
    /// The name of the state.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Claimed { .. } => "claimed",
            Self::Finished { .. } => "finished",
            Self::Failed { .. } => "failed",
        }
    }
}
