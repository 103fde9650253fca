//! Old replicas that go on running for a while: going back to them is a switch, and in the end they stop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cutover_core::{Intent, Plan, Stage};
use cutover_e2e::App;
use support::{Expect, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_warm_replicas_and_forth_boots_nothing() {
    let scene = Scene::set("warm");
    let warm = |version: &str| App { warm: Some("10m"), ..scene.app(version) };
    scene.deploy(&warm("v1")).succeeded();
    let load = scene.load();
    scene.deploy(&warm("v2")).exited(0, &["v1 stays warm until"]);
    let both = scene.replicas();
    assert_eq!(both.len(), 4, "{both:?}");
    scene.cutover(&["rollback", "--list"]).exited(0, &["warm"]);

    for version in ["v1", "v2", "v1"] {
        scene.cutover(&["rollback"]).exited(0, &["whose replicas are warm"]);
        scene.serves(version).await;
        assert_eq!(scene.replicas(), both, "something was booted or removed");
        let ended = scene.until(|current| current.outcome().is_some()).await;
        assert_eq!((ended.plan.intent, ended.plan.stages), (Intent::Rollback, Plan::WARM.to_vec()));
    }

    // New replicas all the same, where somebody says so; what had been warm until then is gone.
    scene.cutover(&["rollback", "--boot"]).succeeded();
    scene.serves("v2").await;
    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert!(ended.plan.stages.contains(&Stage::Boot));
    let booted = scene.replicas();
    assert!(booted.len() == 4 && booted != both, "{booted:?}");

    scene.deploy(&scene.app("v3")).succeeded();
    assert_eq!(scene.replicas().len(), 2);
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_warm_stops_in_its_time_and_a_rollback_boots_again() {
    let scene = Scene::set("cool");
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    scene.deploy(&App { warm: Some("4s"), ..scene.app("v2") }).succeeded();
    assert_eq!(scene.replicas().len(), 4);
    scene.until_service(|service| service.obligations.is_empty()).await;
    assert_eq!(scene.replicas().len(), 2);

    scene.cutover(&["rollback"]).succeeded();
    scene.serves("v1").await;
    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert!(ended.plan.stages.contains(&Stage::Boot));
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}
