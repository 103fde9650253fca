//! A stage that failed, done again.

use anyhow::ensure;
use cutover_core::{Outcome, Stage};
use cutover_e2e::claim::claims;

use crate::scene::{Scene, say};
use crate::schema;

pub(crate) async fn once_mended(scene: &mut Scene) -> anyhow::Result<()> {
    say(
        "A fifth version whose database is not where it is looked for; then it is, and the failed stage is replayed",
    );
    schema::locate(scene, "postgres://app@127.0.0.1:1/nowhere")?;
    scene.project.write(&schema::migrated(scene, "v5", 2))?;
    let deploy = ["deploy", "production", "--version", "v5"];
    let failed = scene.play("no database", &deploy, Outcome::Failed).await?;
    schema::locate(scene, &scene.database.url)?;
    let replayed = scene.play("replayed", &["replay"], Outcome::Live).await?;
    for stage in [Stage::Build, Stage::Ship] {
        ensure!(claims(&failed, stage) == claims(&replayed, stage), "the replay did the {stage} again");
    }
    Ok(())
}
