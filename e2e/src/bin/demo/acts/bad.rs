//! Versions that are bad, and are taken back.

use anyhow::ensure;
use cutover_core::Outcome;
use cutover_e2e::App;

use crate::scene::{Scene, say};

/// The version that answers every request with 500, once it has traffic.
pub(crate) const BAD: &str = "v4";

pub(crate) async fn never_ready(scene: &mut Scene) -> anyhow::Result<()> {
    say("A third version whose readiness never turns green: taken back before any traffic");
    let app = App { env: vec![("READY", "never".into())], ready: "3s", ..scene.app("v3") };
    scene.project.write(&app)?;
    scene.play("never ready", &["deploy", "production", "--version", "v3"], Outcome::TakenBack).await?;
    let seen = scene.traffic.iter().any(|traffic| traffic.has_seen("v3"));
    ensure!(!seen, "the version that was never ready has answered");
    Ok(())
}

pub(crate) async fn fails_after_the_switch(scene: &mut Scene) -> anyhow::Result<()> {
    say("A fourth version that answers 500 once it has traffic: taken back in its soak");
    let app = App { env: vec![("FAIL_RATE", "1".into())], ..scene.app(BAD) };
    scene.project.write(&app)?;
    scene
        .play("500 after the switch", &["deploy", "production", "--version", BAD], Outcome::TakenBack)
        .await?;
    scene.until_served_by("v2").await
}
