use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::target::Target;

/// Targets that get no new requests: what they have in flight goes on until the limit, then it is cut, upgraded
/// connections too. Dropping this calls the cut off.
#[derive(Debug)]
pub(crate) struct Drain {
    _timer: AbortOnDropHandle<()>,
}

impl Drain {
    pub(crate) fn start(targets: &[Arc<Target>], limit: Duration) -> Self {
        let targets = targets.to_vec();
        // An application that is asked to stop should not have to wait for connections that nobody will use.
        targets.iter().for_each(|target| target.pool().clear());
        let timer = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            for target in targets {
                let in_flight = target.in_flight();
                if in_flight > 0 {
                    tracing::warn!(address = %target.address(), in_flight, ?limit, "drain limit reached, cutting");
                }
                target.cut().cancel();
            }
        });
        Self { _timer: AbortOnDropHandle::new(timer) }
    }
}
