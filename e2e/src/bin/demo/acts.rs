//! The acts of the demonstration, in order.

mod bad;
mod command_killed;
mod crash;
mod deploy;
mod killed;
mod replaced;
mod replay;
mod rollback;

use crate::scene::Scene;

pub(crate) use bad::BAD;

/// All of them. The load runs from the end of the first to the end of the last.
pub(crate) async fn play(scene: &mut Scene) -> anyhow::Result<()> {
    deploy::first(scene).await?;
    deploy::with_a_migration(scene).await?;
    bad::never_ready(scene).await?;
    bad::fails_after_the_switch(scene).await?;
    replay::once_mended(scene).await?;
    rollback::cold(scene).await?;
    rollback::warm(scene).await?;
    killed::each_program(scene).await?;
    crash::host_two(scene).await?;
    command_killed::in_the_middle(scene).await?;
    replaced::the_prober(scene).await
}
