//! An operator halts the traffic of a service on all of its hosts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{Expect, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_under_load_costs_no_request_and_maintenance_ends_with_what_serves() {
    let scene = Scene::set("halts");
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    scene.cutover(&["pause", "production", "--for", "10s"]).exited(0, &["paused"]);
    scene.cutover(&["resume"]).exited(0, &["resumed"]);
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);

    scene.cutover(&["maintenance", "on"]).exited(0, &["under maintenance"]);
    scene.deploy(&scene.app("v2")).succeeded();
    scene.cutover(&["maintenance", "off"]).exited(0, &["served"]);
    scene.serves("v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_proxy_is_named_and_the_other_told() {
    let scene = Scene::set_with("halts-two", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let (first, stopped) = (&scene.host, &scene.others[0]);
    stopped.exec(&["docker", "stop", "--time", "1", "cutover-proxy"]).unwrap();
    let paused = format!("{}: paused", first.address);
    let failed = format!("{}: no proxy answers", stopped.address);
    scene.cutover(&["pause"]).exited(8, &[&paused, &failed, "is not paused on"]);
    scene.cutover(&["pause", "--for", "2h"]).exited(2, &["at most 1h"]);
    stopped.exec(&["docker", "start", "cutover-proxy"]).unwrap();
    scene.cutover(&["resume", "--force"]).exited(0, &["resumed"]);
    scene.serves("v1").await;
}
