//! The way back to the release before: by new replicas of it, or to the old ones.

use anyhow::ensure;
use cutover_core::{Outcome, Plan};
use cutover_e2e::App;

use crate::scene::{Scene, say};

pub(crate) async fn cold(scene: &mut Scene) -> anyhow::Result<()> {
    say("A rollback to the release before: nothing is built or sent");
    scene.play("rollback", &["rollback"], Outcome::Live).await?;
    scene.until_served_by("v2").await
}

pub(crate) async fn warm(scene: &mut Scene) -> anyhow::Result<()> {
    say(
        "A sixth version that keeps the replicas before it warm for a minute: the rollback is a switch, and boots nothing",
    );
    scene.project.write(&App { warm: Some("1m"), ..scene.app("v6") })?;
    scene.play("old ones kept warm", &["deploy", "production", "--version", "v6"], Outcome::Live).await?;
    let back = scene.play("warm rollback", &["rollback"], Outcome::Live).await?;
    ensure!(back.plan.stages == Plan::WARM, "the rollback has more stages: {:?}", back.plan.stages);
    scene.until_served_by("v2").await
}
