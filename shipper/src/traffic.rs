//! What a proxy does with the replicas of a service.

use cutover_control::{ServiceStatus, SetStatus};

/// The replicas that the proxy on a host still needs, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// New requests go to these, or may go: a canary has them whenever it is renewed.
    pub serving: Vec<String>,
    /// These get no new ones, but still have requests, streams or upgraded connections in flight.
    pub draining: Vec<String>,
}

impl Traffic {
    /// What the proxy says of a service; of one that it has never heard of, it needs nothing.
    pub fn of(status: Option<&ServiceStatus>) -> Self {
        let Some(status) = status else { return Self::default() };
        let draining = status.draining.iter().flat_map(|set| &set.targets);
        let canary = status.canary.as_ref().map(|canary| &canary.set);
        Self {
            serving: status.active.iter().chain(canary).flat_map(names).collect(),
            draining: draining
                .filter(|target| target.in_flight > 0)
                .map(|target| target.replica.clone())
                .collect(),
        }
    }
}

fn names(set: &SetStatus) -> impl Iterator<Item = String> {
    set.targets.iter().map(|target| target.replica.clone())
}
