//! Deployments in which nothing happens.

use cutover_core::Outcome;

use crate::scene::{Scene, say};
use crate::schema;

pub(crate) async fn first(scene: &mut Scene) -> anyhow::Result<()> {
    say("A first deploy");
    scene.play("first deploy", &["deploy", "production", "--version", "v1"], Outcome::Live).await?;
    scene.load()
}

pub(crate) async fn with_a_migration(scene: &mut Scene) -> anyhow::Result<()> {
    say("A second version, with a migration that the first one tolerates");
    schema::locate(scene, &scene.database.url)?;
    scene.project.write(&schema::migrated(scene, "v2", 1))?;
    scene.play("with a migration", &["deploy", "production", "--version", "v2"], Outcome::Live).await?;
    Ok(())
}
