use std::sync::Arc;

use crate::target::Target;
use crate::target_set::TargetSet;

/// One request in flight on a target. It lives until the response's body has ended or the upgraded connection has
/// closed, and keeps the set that the request began with.
#[derive(Debug)]
pub(crate) struct Lease {
    set: Arc<TargetSet>,
    target: Arc<Target>,
}

impl Lease {
    pub(crate) fn new(set: Arc<TargetSet>, target: Arc<Target>) -> Self {
        target.enter();
        Self { set, target }
    }

    pub(crate) fn set(&self) -> &TargetSet {
        &self.set
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.target.leave();
    }
}
