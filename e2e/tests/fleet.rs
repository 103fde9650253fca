//! Several hosts as one: no host switches before every host is ready, and one that can't be switched brings all back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cutover_core::{Outcome, Stage, Task};
use cutover_e2e::App;
use support::{Expect, Scene, load_on};

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_go_live_together_and_roll_back_together() {
    let scene = Scene::set_with("both", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let (first, second) = (scene.load(), load_on(&scene.others[0]));
    scene.deploy(&scene.app("v2")).succeeded();
    scene.cutover(&["rollback"]).succeeded();
    for load in [first, second] {
        let report = load.stop().await;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        assert!(report.first_answer_of("v2").is_some());
        let last = report.by_version.iter().max_by_key(|(_, seen)| seen.last).unwrap().0.clone();
        assert_eq!(last.as_deref(), Some("v1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_could_not_be_switched_keeps_the_other_from_switching_and_is_named() {
    let scene = Scene::set_with("second", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    let second = &scene.others[0];
    second.exec(&["docker", "stop", "--time", "1", "cutover-proxy"]).unwrap();
    scene.deploy(&scene.app("v2")).exited(4, &[&second.address, "no proxy answers"]);
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(report.first_answer_of("v2").is_none(), "the first host was switched");
    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::TakenBack));

    // It comes back, and the next deployment finds it as it should be.
    second.exec(&["docker", "start", "cutover-proxy"]).unwrap();
    scene.deploy(&scene.app("v3")).succeeded();
    assert!(!scene.cutover(&["hosts"]).out.contains("owes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_crashes_before_the_switch_leaves_the_other_on_the_old_version() {
    let scene = Scene::set_with("gone", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    let second = &scene.others[0];
    scene.project.write(&App { env: vec![("READY_AFTER", "3s".into())], ..scene.app("v2") }).unwrap();
    let mut deploy =
        scene.plane.command(scene.project.folder(), &["deploy", "--version", "v2"]).spawn().unwrap();
    scene
        .until(|current| {
            current.tasks().iter().any(|(task, state)| task.stage == Stage::Probe && state.is_open())
        })
        .await;
    second.crash().unwrap();
    let status = deploy.wait().unwrap();
    assert!(matches!(status.code(), Some(4 | 5)), "{status}");
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(report.first_answer_of("v2").is_none(), "a host was switched before the other was ready");
    second.recover().unwrap();
    scene.deploy(&scene.app("v3")).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_owes_is_paid_by_itself_once_it_is_back() {
    let scene = Scene::set_with("owes", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    let second = &scene.others[0];
    scene.project.write(&App { soak: "2m", ..scene.app("v2") }).unwrap();
    let deploy = scene.plane.command(scene.project.folder(), &["deploy", "--version", "v2"]).spawn().unwrap();
    let soak = Task { stage: Stage::Soak, host: None };
    scene.until(|current| current.state(&soak).is_open()).await;
    // Both hosts have switched; the second takes what it was told with it, and can't be told anything else.
    second.crash().unwrap();
    let status =
        tokio::task::spawn_blocking(move || deploy.wait_with_output()).await.unwrap().unwrap().status;
    assert_eq!(status.code(), Some(5), "{status}");
    scene.cutover(&["hosts"]).exited(0, &[&second.address, "owes restore"]);
    scene.serves("v1").await;

    second.recover().unwrap();
    scene.until_service(|service| service.obligations.is_empty()).await;
    scene.serves_on(second, "v1").await;
    let left = second.exec(&["docker", "ps", "--all", "--format", "{{.Names}}"]).unwrap();
    assert_eq!(left.lines().count(), 3, "the proxy, and two replicas of v1: {left}");
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}
