//! The work that is known to be in the log, so that it isn't published again with every fact; and the timer that is set.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutover_core::{Deployment, DeploymentId, Timestamp, Work};

/// Known work, of the deployment that runs or of what is owed after the last one; clones share it. To know less is no harm: a
/// duplicate is refused, and a timer that is set twice goes off once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    round: Option<(DeploymentId, u64)>,
    ids: HashSet<String>,
    timer: Option<Timestamp>,
}

impl Published {
    pub(crate) fn has(&self, id: &str) -> bool {
        self.known().ids.contains(id)
    }

    /// Adds what was published while a round of a deployment ran, or was the last that ran; what was known of another round
    /// is forgotten.
    pub(crate) fn add(&self, current: &Deployment, ids: impl IntoIterator<Item = String>) {
        let mut known = self.known();
        let round = Some((current.id().clone(), current.round_after));
        if known.round != round {
            *known = Known { round, ..Known::default() };
        }
        known.ids.extend(ids);
    }

    /// Whether the timer is set to this time. Another program may have set it to another since: that one looks again then.
    pub(crate) fn has_timer(&self, time: Timestamp) -> bool {
        self.known().timer == Some(time)
    }

    pub(crate) fn timer_is_set(&self, time: Timestamp) {
        self.known().timer = Some(time);
    }

    pub(crate) fn timer_has_gone_off(&self) {
        self.known().timer = None;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message id of work. The round is part of it, by the decision before it: attempts are counted by claims, and work that
/// was published but never claimed before an abort, or with a replay that came to nothing, has the same number in the replay.
pub(crate) fn work_id(deployment: &Deployment, work: &Work) -> String {
    let host = work.task.host.as_ref().map_or("", |host| host.as_str());
    format!("{}/{}/{host}/{}.{}/run", work.deployment, work.task.stage, deployment.round_after, work.attempt)
}
