//! A service that another control plane deploys is left alone, until it is adopted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cutover_e2e::{ControlPlane, Ended};
use support::{Expect, Scene};

/// Another control plane than that of the scene, for the same host and project.
struct Second<'a> {
    scene: &'a Scene,
    plane: ControlPlane,
}

impl Second<'_> {
    fn cutover(&self, arguments: &[&str]) -> Ended {
        self.plane.run(self.scene.project.folder(), arguments).unwrap()
    }

    fn deploy(&self, version: &str) -> Ended {
        self.scene.project.write(&self.scene.app(version)).unwrap();
        self.cutover(&["deploy", "--version", version])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_control_plane_deploys_once_it_has_adopted_the_service_and_the_first_no_more() {
    let scene = Scene::set("adopt");
    scene.deploy(&scene.app("v1")).succeeded();
    let (load, replicas) = (scene.load(), scene.replicas());
    let second = Second { scene: &scene, plane: ControlPlane::up(&[&scene.host], 1).unwrap() };

    second.deploy("v2").exited(4, &["another journal", "cutover adopt"]);
    assert_eq!(scene.replicas(), replicas);

    second.cutover(&["adopt"]).exited(2, &["obeys another control plane", "cutover adopt --yes"]);
    second.deploy("v2").exited(4, &["cutover adopt"]);
    second.cutover(&["adopt", "--yes"]).exited(0, &["obeys this control plane from now on"]);
    second.cutover(&["adopt"]).exited(0, &["obeys this control plane already", "nothing to adopt"]);
    second.deploy("v2").succeeded();
    assert_eq!(scene.replicas().len(), 2);

    let replicas = scene.replicas();
    scene.deploy(&scene.app("v3")).exited(4, &["another journal", "cutover adopt"]);
    assert_eq!(scene.replicas(), replicas);

    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(report.first_answer_of("v2").is_some() && report.first_answer_of("v3").is_none());
    let last = report.by_version.iter().max_by_key(|(_, seen)| seen.last).unwrap().0.clone();
    assert_eq!(last.as_deref(), Some("v2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_proxy_is_named_and_the_other_adopted() {
    let scene = Scene::set_with("adopt-two", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let (first, stopped) = (&scene.host, &scene.others[0]);
    let second = Second { scene: &scene, plane: ControlPlane::up(&[first, stopped], 1).unwrap() };
    stopped.exec(&["docker", "stop", "--time", "1", "cutover-proxy"]).unwrap();
    let adopted = format!("{}: obeys this control plane from now on", first.address);
    let failed = format!("{}: no proxy answers", stopped.address);
    second.cutover(&["adopt", "--yes"]).exited(8, &[&adopted, &failed, "is not adopted on"]);

    stopped.exec(&["docker", "start", "cutover-proxy"]).unwrap();
    let adopted = format!("{}: obeys this control plane from now on", stopped.address);
    second.cutover(&["adopt", "--yes"]).exited(0, &[&adopted]);
}
