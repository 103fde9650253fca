//! The unit of work, of retry and of replay.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{HostName, Stage};

/// A stage on one host, or the stage itself where hosts don't matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Task {
    /// The stage.
    pub stage: Stage,
    /// The host; none where the stage has one task in all.
    pub host: Option<HostName>,
}

impl Task {
    /// The same host's task of another stage.
    pub fn beside(&self, stage: Stage) -> Self {
        Self { stage, host: if stage.per_host() { self.host.clone() } else { None } }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{} on {host}", self.stage),
            None => write!(f, "{}", self.stage),
        }
    }
}
