//! Containers end, and are removed.

use std::time::Duration;

use cutover_fleet::{Container, Machine};
use futures_util::future::join_all;

use crate::Result;

/// Stops containers, all side by side, and removes them: each gets its stop signal, and is killed after `grace`; one that gets
/// no traffic, after the time that it was made with, as it may be at work that no other settings know of. What has
/// ended or gone by itself is done. Answers with their number; when some can't be removed, the others are nevertheless.
pub(crate) async fn stop_and_remove(
    machine: &Machine,
    containers: &[&Container],
    grace: Duration,
) -> Result<u32> {
    let stopped = join_all(containers.iter().map(async |container| {
        let grace =
            if container.is_web() { grace } else { own_grace(machine, container).await?.unwrap_or(grace) };
        machine.stop(&container.id, &container.name, grace).await?;
        machine.remove(&container.id, &container.name).await?;
        Ok(())
    }));
    stopped.await.into_iter().try_fold(0, |sum, removed: Result<()>| removed.map(|()| sum + 1))
}

/// How long a container has between the stop signal and the kill, as it was made; none: nobody has said, or it is gone.
async fn own_grace(machine: &Machine, container: &Container) -> Result<Option<Duration>> {
    Ok(machine.condition(&container.id).await?.and_then(|condition| condition.stop_timeout))
}
