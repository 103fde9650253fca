//! Facts: what happened to a task, as the worker that did it wrote it down.

use cutover_verdict::{Observed, Verdict};
use serde::{Deserialize, Serialize};

use crate::{Digest, Rehearsed, SidecarImages};

/// One fact of one task. Which task it is stands in the subject.
///
/// All but the claim itself name the claim that they belong to, by its sequence: what a worker says that has been
/// outlived names an old claim, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fact {
    /// A worker has taken the task. Its sequence in the journal is the epoch of all that it does.
    Claimed(Claim),
    /// The task has come further.
    Progressed {
        /// The claim.
        claim: u64,
        /// How far.
        progress: Progress,
    },
    /// The task is done.
    Finished {
        /// The claim.
        claim: u64,
        /// What it made.
        output: Output,
    },
    /// This attempt has failed.
    Failed {
        /// The claim.
        claim: u64,
        /// Why.
        failure: Failure,
    },
}

/// A claim of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Which claim of this task it is, from 1, over all rounds.
    pub attempt: u32,
    /// The worker: program, machine and process, for people.
    pub worker: String,
    /// The last decision that the worker had seen. A claim that was made after an abort without having seen it is void.
    pub decision: u64,
    /// The sequence of the work message that it was made for. The same message, delivered again, means that this worker
    /// has let its deadline pass.
    pub hint: u64,
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Bytes sent, of so many.
    Bytes {
        /// Done.
        done: u64,
        /// In all, as far as known.
        total: u64,
    },
    /// The step that runs now.
    Step(String),
    /// The step that a canary holds.
    Canary {
        /// Its number, from 0.
        step: u32,
        /// What is counted.
        text: String,
        /// What was observed since the record before, and is judged by. It is read from the journal, and kept nowhere else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Box<Observed>>,
    },
}

impl Progress {
    /// How it stands, without what only the journal keeps.
    pub(crate) fn standing(&self) -> Self {
        match self {
            Self::Canary { step, text, .. } => Self::Canary { step: *step, text: text.clone(), seen: None },
            other => other.clone(),
        }
    }
}

/// What a finished task made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// The image's manifest in the artifact store, and what the image weighs in bytes.
    Built {
        /// The manifest.
        image: Digest,
        /// Bytes of all its layers.
        bytes: u64,
        /// The full name of the commit that it was built of, where the builder got that from a repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// How it was made, as the builder has seen it: an in-toto statement in the artifact store. None of an image that was
        /// there before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provenance: Option<Digest>,
        /// The images of the sidecars that were not known before.
        #[serde(default, skip_serializing_if = "SidecarImages::is_empty")]
        sidecars: SidecarImages,
    },
    /// What was sent to the host.
    Shipped {
        /// Bytes on the wire.
        sent: u64,
    },
    /// The migrations that were applied now.
    Expanded {
        /// Their versions.
        applied: Vec<String>,
        /// What they did on a copy before, with the backfills and the contracts, where they were rehearsed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rehearsed: Vec<Rehearsed>,
    },
    /// The rows that were brought over now.
    Backfilled {
        /// In all tables.
        rows: u64,
    },
    /// The migrations whose old structure is gone now.
    Contracted {
        /// Their versions.
        applied: Vec<String>,
    },
    /// The new replicas on the host.
    Booted {
        /// Each with its address on the host's own network.
        replicas: Vec<Replica>,
    },
    /// The replicas are ready.
    Probed {
        /// Questions asked until they were.
        asked: u32,
    },
    /// They have had their share of the traffic.
    Canaried {
        /// What was counted.
        seen: Evidence,
        /// What was made of it at the end of the last step that was judged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdict: Option<Box<Verdict>>,
    },
    /// The proxy sends traffic to them.
    Switched {
        /// The deployment that served before on this host.
        previous: Option<String>,
    },
    /// The soak is over, and this is what was seen.
    Soaked(Evidence),
    /// The old replicas are gone.
    Retired {
        /// Containers stopped and removed.
        stopped: u32,
    },
    /// The old replicas that were kept warm are gone.
    Cooled {
        /// Containers stopped and removed.
        stopped: u32,
    },
    /// The old replicas have the traffic.
    Restored {
        /// The deployment that serves now on this host.
        serving: Option<String>,
    },
    /// The new replicas are gone.
    Discarded {
        /// Containers removed.
        removed: u32,
    },
}

/// A replica on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The container's name.
    pub name: String,
    /// Where it listens, on the host's own network.
    pub address: std::net::SocketAddr,
}

/// What was counted in a canary or a soak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Requests that the new replicas answered.
    pub requests: u64,
    /// Server errors among them, those included that the proxy had to answer in their place.
    pub errors: u64,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done, to what, and why it failed.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The last lines of what failed: a container, a build step.
    pub tail: Vec<String>,
    /// Whether another attempt may go better.
    pub retry: bool,
}

impl Failure {
    /// A failure that would only repeat itself.
    pub fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, tail: Vec::new(), retry: false }
    }

    /// A failure that another attempt may get over.
    pub fn passing(message: impl Into<String>) -> Self {
        Self { retry: true, ..Self::lasting(message) }
    }

    /// An error and its causes, in one line.
    pub fn of(error: &dyn std::error::Error, retry: bool) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            let text = source.to_string();
            // Some errors repeat their cause in their own words.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = source.source();
        }
        Self { retry, ..Self::lasting(message) }
    }

    /// The same with what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with the last lines of what failed.
    pub fn tail(self, tail: Vec<String>) -> Self {
        Self { tail, ..self }
    }
}

impl Fact {
    /// The last token of the fact's subject.
    pub const fn kind(&self) -> FactKind {
        match self {
            Self::Claimed(_) => FactKind::Claimed,
            Self::Progressed { .. } => FactKind::Progressed,
            Self::Finished { .. } => FactKind::Finished,
            Self::Failed { .. } => FactKind::Failed,
        }
    }
}

/// The kinds of facts, as subjects name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FactKind {
    /// A claim.
    Claimed,
    /// Progress.
    Progressed,
    /// The end.
    Finished,
    /// The end of an attempt.
    Failed,
}

impl FactKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Claimed, Self::Progressed, Self::Finished, Self::Failed];

    /// The token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Progressed => "progressed",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}
