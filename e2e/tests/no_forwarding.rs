//! A host whose sshd forwards nothing: a container of the proxy's image carries what the programs send there, ask there and
//! listen to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::time::Duration;

use cutover_e2e::Host;
use support::{Expect, Scene};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn where_ssh_forwards_nothing_all_goes_by_way_of_the_helper() {
    let name = format!("unforwarded-{}", std::process::id());
    let scene = Scene::set_on(Host::up_without_forwarding(&name).unwrap(), vec![]);
    scene.deploy(&scene.app("v1")).succeeded();
    scene.serves("v1").await;
    let load = scene.load();
    // A model takes a way of its own.
    let model = tempfile::tempdir().unwrap();
    fs::write(model.path().join("weights.bin"), vec![7; 4 << 20]).unwrap();
    scene.project.write(&scene.app("v2")).unwrap();
    let file = scene.project.deploy_file();
    let text = fs::read_to_string(&file).unwrap();
    let source = model.path().display();
    fs::write(&file, format!("{text}models:\n  minilm: {{source: \"file:{source}\"}}\n")).unwrap();
    scene.cutover(&["deploy", "--version", "v2"]).succeeded();
    scene.serves("v2").await;
    // The helper of each program is ended from outside: the next need makes another.
    let ended = "docker ps --quiet --filter label=cutover.bridge | xargs --no-run-if-empty docker kill";
    scene.host.exec(&["sh", "-c", ended]).unwrap();
    scene.cutover(&["rollback"]).succeeded();
    scene.serves("v1").await;
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);

    // With the programs, their helpers are gone.
    let Scene { plane, host, .. } = scene;
    drop(plane);
    let left = async {
        let list = ["docker", "ps", "--all", "--quiet", "--filter", "label=cutover.bridge"];
        while !host.exec(&list).unwrap().trim().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, left).await.expect("a helper was left behind");
}
