use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Standing, Subject, Tripped, millis};

/// Why an outcome is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A guard has seen enough.
    Guard(Tripped),
    /// More than tolerated.
    Worse(Subject),
    /// What a query says.
    Query {
        /// Its name.
        name: String,
        /// What it says.
        standing: Standing,
    },
    /// The proxies weren't heard.
    Silent {
        /// For so long.
        #[serde(with = "millis")]
        silent: Duration,
    },
    /// The new version got no requests.
    NoRequests,
    /// The new version got too few.
    TooFew {
        /// So many.
        requests: u64,
        /// Of so many.
        minimum: u64,
    },
    /// The old version got none beside it.
    NothingBeside,
    /// Too little is known of the old version's latencies to say where to compare them.
    NoReference {
        /// So many requests.
        requests: u64,
        /// Of so many.
        wanted: u64,
    },
    /// A comparison shows a sign of harm.
    Suspicious(Subject),
    /// A comparison hasn't proven that there is no harm, and the step's time isn't over, or that has to be.
    Unproven(Subject),
    /// Each comparison has proven that there is none.
    Harmless,
    /// The step's time is over without a sign of harm.
    Quiet,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard(tripped) => write!(f, "{tripped}"),
            Self::Worse(subject) => write!(f, "more requests {} than is tolerated", did(subject)),
            Self::Query { name, standing } => write!(f, "{name}: {standing}"),
            Self::Silent { silent } => write!(f, "no proxy was heard for {} s", silent.as_secs()),
            Self::NoRequests => f.write_str("it got no requests"),
            Self::TooFew { requests, minimum } => {
                write!(f, "it got {requests} of at least {minimum} requests")
            }
            Self::NothingBeside => f.write_str("the old version got no requests beside it"),
            Self::NoReference { requests, wanted } => {
                write!(f, "latencies: {requests} of {wanted} requests of the old version are known")
            }
            Self::Suspicious(subject) => {
                write!(f, "there are signs that more requests {} than is tolerated", did(subject))
            }
            Self::Unproven(subject) => {
                write!(f, "it isn't proven that no more requests {} than is tolerated", did(subject))
            }
            Self::Harmless => f.write_str("it is proven to be no worse than tolerated"),
            Self::Quiet => f.write_str("the step's time is over without a sign of harm"),
        }
    }
}

fn did(subject: &Subject) -> String {
    match subject {
        Subject::Failures => "failed".to_owned(),
        Subject::Synthetic => "that were sent on its behalf failed".to_owned(),
        Subject::Slower { than_ms, .. } => format!("took longer than {than_ms} ms"),
    }
}
