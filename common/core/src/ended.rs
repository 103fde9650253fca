//! How a deployment ended: a line of the history.

use serde::{Deserialize, Serialize};

use crate::{Cause, Deployment, DeploymentId, Intent, Outcome, ReleaseId, Timestamp};

/// How a deployment ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub deployment: DeploymentId,
    /// The sequence of the decision that accepted it.
    #[serde(default)]
    pub sequence: u64,
    /// What it was to make live.
    pub release: ReleaseId,
    /// The release's name in front of people.
    pub version: String,
    /// Why there was one.
    pub intent: Intent,
    /// Who asked for it.
    pub by: String,
    /// Whether it began at a time at which none was to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untimely: bool,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What made it end so.
    pub reason: Option<String>,
}

impl Ended {
    pub(crate) fn of(ended: &Deployment, outcome: Outcome, at: Timestamp) -> Self {
        let reason = ended.cause().map(|cause| match cause {
            Cause::Aborted(abort) => format!("aborted by {}", abort.by),
            Cause::Failed(task, failure) => format!("{task}: {}", failure.message),
        });
        Self {
            deployment: ended.id().clone(),
            sequence: ended.sequence,
            release: ended.plan.release.id(),
            version: ended.plan.release.version.clone(),
            intent: ended.plan.intent.clone(),
            by: ended.plan.by.clone(),
            untimely: ended.plan.untimely,
            accepted: ended.round_at,
            at,
            outcome,
            reason,
        }
    }
}
