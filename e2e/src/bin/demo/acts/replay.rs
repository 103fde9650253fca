//! A stage that failed, done again.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use cutover_core::{Outcome, Stage};
use cutover_e2e::Relay;
use cutover_e2e::claim::claims;
use url::Url;

use crate::scene::{Scene, say};
use crate::schema;

/// Another address of this machine, where the database doesn't listen itself.
const WAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

pub(crate) async fn once_mended(scene: &mut Scene) -> anyhow::Result<()> {
    say(
        "A fifth version while the way to its database is cut; then it isn't, and the failed stage is replayed",
    );
    let url = Url::parse(&scene.database.url)?;
    let port = url.port().context("the database has no port")?;
    let [database, way] = [Ipv4Addr::LOCALHOST, WAY].map(|address| SocketAddr::from((address, port)));
    schema::locate(scene, &scene.database.url.replace(&database.to_string(), &way.to_string()))?;
    scene.project.write(&schema::migrated(scene, "v5", 2))?;
    let deploy = ["deploy", "production", "--version", "v5"];
    let failed = scene.play("no database", &deploy, Outcome::Failed).await?;
    scene.way = Some(Relay::start_on(way, database, Duration::ZERO).await?);
    schema::locate(scene, &scene.database.url)?;
    let replayed = scene.play("replayed", &["replay"], Outcome::Live).await?;
    for stage in [Stage::Build, Stage::Ship] {
        ensure!(claims(&failed, stage) == claims(&replayed, stage), "the replay did the {stage} again");
    }
    Ok(())
}
