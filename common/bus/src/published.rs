//! The work that is known to be in the log, so that it isn't published again with every fact.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use cutover_core::{Deployment, DeploymentId, Work};

/// Known work of the round that runs; clones share it. To know less is no harm: a duplicate is refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    round: Option<(DeploymentId, u32)>,
    ids: HashSet<String>,
}

impl Published {
    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ids.contains(id)
    }

    /// Adds what was published in a round of a deployment; what was known of another round is forgotten.
    pub(crate) fn add(&self, deployment: &Deployment, ids: impl IntoIterator<Item = String>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let round = Some((deployment.id().clone(), deployment.round));
        if known.round != round {
            *known = Known { round, ids: HashSet::new() };
        }
        known.ids.extend(ids);
    }
}

/// The message id of work. The round is part of it: attempts are counted by claims, and work that was published but never
/// claimed before an abort has the same number in the replay.
pub(crate) fn work_id(deployment: &Deployment, work: &Work) -> String {
    let host = work.task.host.as_ref().map_or("", |host| host.as_str());
    format!("{}/{}/{host}/{}.{}/run", work.deployment, work.task.stage, deployment.round, work.attempt)
}
