//! The proxy of a host is replaced, and dies, under load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::PathBuf;

use cutover_e2e::dist;
use support::{Expect, Scene};
use tempfile::TempDir;

/// A proxy's program that is another one by its bytes alone.
fn another(folder: &TempDir, mark: &str) -> String {
    let mut program = fs::read(dist().join("cutover-proxy")).expect("scripts/build.sh must have run");
    program.extend(mark.as_bytes());
    let path: PathBuf = folder.path().join(mark);
    fs::write(&path, program).unwrap();
    path.to_string_lossy().into_owned()
}

/// Image, restart policy and whether it runs, of each container of the proxy.
fn proxies(scene: &Scene) -> Vec<String> {
    let lines = "docker ps --all --filter label=cutover.component=proxy --format '{{.Names}}' | xargs docker inspect \
                 --format '{{.Name}} {{.Config.Image}} {{.HostConfig.RestartPolicy.Name}} {{.State.Running}}'";
    scene.host.exec(&["sh", "-c", lines]).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_take_over_from_each_other_under_load_and_one_that_can_not_changes_nothing() {
    let scene = Scene::set("proxy-upgrade");
    let folder = TempDir::new().unwrap();
    scene.deploy(&scene.app("v1")).succeeded();
    let first = proxies(&scene);
    let load = scene.load();
    for mark in ["second", "third"] {
        let upgrade = ["proxy", "upgrade", "production", "--proxy-binary", &another(&folder, mark)];
        scene.cutover(&upgrade).exited(0, &["took over"]);
        // What is upgraded already is left alone.
        scene.cutover(&upgrade).exited(0, &["runs"]);
    }
    let third = proxies(&scene);
    assert!(third.len() == 1 && third != first, "{third:?}");
    assert!(third[0].starts_with("/cutover-proxy ") && third[0].ends_with(" always true"), "{third:?}");

    // A program that is static, and no proxy.
    let hello = dist().join("hello");
    let upgrade = ["proxy", "upgrade", "production", "--proxy-binary", &hello.to_string_lossy()];
    scene.cutover(&upgrade).exited(8, &["did not answer"]);
    assert_eq!(proxies(&scene), third);

    scene.deploy(&scene.app("v2")).succeeded();
    scene.serves("v2").await;
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_dies_is_back_with_its_routes() {
    let scene = Scene::set("proxy-crash");
    scene.deploy(&scene.app("v1")).succeeded();
    for _ in 0..2 {
        let kill = "kill -9 $(docker inspect --format '{{.State.Pid}}' cutover-proxy)";
        scene.host.exec(&["sh", "-c", kill]).unwrap();
        scene.serves("v1").await;
    }
    scene.deploy(&scene.app("v2")).succeeded();
    scene.serves("v2").await;
}
