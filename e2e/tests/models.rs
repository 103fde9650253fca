//! A model has releases of its own: another version of it is deployed with the same image, under load, and taken back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;

use cutover_core::{Deployment, Digest, Outcome, Output, Progress, Stage, Status};
use cutover_e2e::{ControlPlane, Ended, Link, ObjectStore, claim};
use nix::sys::signal::{Signal, kill};
use support::{Expect, Scene};
use tempfile::TempDir;

/// Where the bucket has it.
const PREFIX: &str = "models/minilm";
const MIB: usize = 1 << 20;

/// Deploys the application with the model from that source, and what else is said of it.
fn deploy(scene: &Scene, source: &str, more: &str) -> Ended {
    write(scene, source, more);
    scene.cutover(&["deploy", "--version", "v1"])
}

/// Writes the deploy file of the application with the model from that source, and what else is said of it.
fn write(scene: &Scene, source: &str, more: &str) {
    scene.project.write(&scene.app("v1")).unwrap();
    let file = scene.project.deploy_file();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}models:\n  minilm: {{source: \"{source}\"{more}}}\n")).unwrap();
}

/// The digest of the weights that each replica reads.
fn mounted(scene: &Scene) -> Vec<String> {
    let weights = |replica: &String| {
        let pid = scene.host.exec(&["docker", "inspect", "--format", "{{.State.Pid}}", replica]).unwrap();
        let file = format!("/proc/{}/root/models/minilm/onnx/weights.bin", pid.trim());
        let sum = scene.host.exec(&["sha256sum", &file]).unwrap();
        format!("sha256:{}", sum.split_whitespace().next().unwrap())
    };
    let replicas = scene.replicas();
    replicas.iter().filter(|name| name.starts_with("hello-")).map(weights).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_a_model_goes_live_without_a_build_and_back() {
    let objects = ObjectStore::start().unwrap();
    let scene = Scene::set("models");
    let mut random = fastrand::Rng::with_seed(11);
    let mut weights: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(8 * MIB).collect();
    objects.put(&format!("{PREFIX}/config.json"), b"{}").unwrap();
    objects.put(&format!("{PREFIX}/onnx/weights.bin"), &weights).unwrap();
    // No part of it, although it begins alike.
    objects.put(&format!("{PREFIX}-large/weights.bin"), b"large").unwrap();
    let source = objects.source(PREFIX);
    let first = Digest::of(&weights).to_string();

    deploy(&scene, &source, "").exited(0, &["model minilm: reading 8.3 MB of s3://artifacts/models/minilm"]);
    assert_eq!(mounted(&scene), [first.as_str(), &first]);
    let again = deploy(&scene, &source, "");
    again.exited(0, &["nothing to do"]);
    assert!(!again.err.contains("reading"), "{}", again.err);

    let load = scene.load();
    let end = weights.len() - 1000;
    weights[end..].fill(0);
    objects.put(&format!("{PREFIX}/onnx/weights.bin"), &weights).unwrap();
    let second = Digest::of(&weights).to_string();
    deploy(&scene, &source, "").exited(0, &["nothing to build", "model minilm: version"]);
    assert_eq!(mounted(&scene), [second.as_str(), &second]);
    let journal = scene.plane.journal().await.unwrap();
    let log = journal.service(&ControlPlane::key().unwrap()).await.unwrap();
    let live = log.service().live().unwrap();
    let version = live.release.settings.models[0].version.clone();
    assert!(!log.service().current.as_ref().unwrap().plan.stages.contains(&Stage::Build));

    scene.cutover(&["rollback"]).succeeded();
    assert_eq!(mounted(&scene), [first.as_str(), &first]);
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);

    // A version that is known by its name isn't looked for anywhere.
    drop(objects);
    deploy(&scene, &source, &format!(", version: \"{version}\"")).succeeded();
    assert_eq!(mounted(&scene), [second.as_str(), &second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_model_is_said_and_the_old_one_keeps_serving() {
    let objects = ObjectStore::start().unwrap();
    let scene = Scene::set("models-fail");
    objects.put(&format!("{PREFIX}/onnx/weights.bin"), b"weights").unwrap();
    let source = objects.source(PREFIX);
    deploy(&scene, &source, "").succeeded();
    let live = mounted(&scene);

    let folder = TempDir::new().unwrap();
    let credentials = folder.path().join("credentials");
    let write = |secret: &str| {
        let text = format!("[default]\naws_access_key_id = tester\naws_secret_access_key = {secret}\n");
        fs::write(&credentials, text).unwrap();
    };
    write("wrong");
    let endpoint = source.split_once("endpoint=").unwrap().1.split('&').next().unwrap();
    let own = format!("s3://artifacts/{PREFIX}?endpoint={endpoint}&credentials={}", credentials.display());
    deploy(&scene, &own, "")
        .exited(2, &["could not list s3://artifacts/models/minilm", "doesn't accept the credentials"]);
    let elsewhere = source.replace("s3://artifacts/", "s3://nothing/");
    deploy(&scene, &elsewhere, "").exited(2, &["there is no such bucket"]);
    deploy(&scene, &objects.source("models/other"), "")
        .exited(2, &["there is nothing at s3://artifacts/models/other"]);
    let other = Digest::of(b"another manifest");
    let pinned = format!(", version: \"{other}\"");
    deploy(&scene, &source, &pinned)
        .exited(2, &["of model minilm, and the deploy file says", other.as_str()]);
    deploy(&scene, "s3://artifacts/models?path_style=true", "")
        .exited(2, &["models.minilm.source", "no setting 'path_style'"]);

    // The disk has no room for what is new.
    objects.put(&format!("{PREFIX}/onnx/weights.bin"), &vec![7; 4 * MIB]).unwrap();
    let full = "mount -t tmpfs -o size=258m models /var/lib/cutover/models";
    scene.host.exec(&["sh", "-c", full]).unwrap();
    deploy(&scene, &source, "")
        .exited(4, &["left in /var/lib/cutover/models, and model minilm needs", "retain"]);
    scene.host.exec(&["umount", "/var/lib/cutover/models"]).unwrap();
    assert_eq!(mounted(&scene), live);
    scene.serves("v1").await;

    objects.put(&format!("{PREFIX}/onnx/weights.bin"), b"other weights").unwrap();
    drop(objects);
    write("secret-of-tester");
    deploy(&scene, &own, "").exited(7, &["the server doesn't answer"]);
    assert_eq!(mounted(&scene), live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipper_killed_in_the_middle_of_a_model_leaves_what_it_has_sent_to_the_next() {
    let objects = ObjectStore::start().unwrap();
    let scene = Scene::set("models-kill");
    objects.put(&format!("{PREFIX}/onnx/weights.bin"), b"weights").unwrap();
    let source = objects.source(PREFIX);
    deploy(&scene, &source, "").succeeded();
    let (load, live) = (scene.load(), mounted(&scene));

    let mut random = fastrand::Rng::with_seed(12);
    let weights: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(24 * MIB).collect();
    objects.put(&format!("{PREFIX}/onnx/weights.bin"), &weights).unwrap();
    // Three seconds and more for all of it.
    Link::of(&scene.host).unwrap().limit("64mbit").unwrap();
    write(&scene, &source, "");
    scene.cutover(&["deploy", "--version", "v1", "--detach"]).succeeded();
    // Once it has told that more than a half of it is there.
    let is_half =
        |told: &Option<Progress>| matches!(told, Some(Progress::Bytes { done, total }) if *done > total / 2);
    let sender = |current: &Deployment| claim::held(current, Stage::Ship, is_half);
    let shipper = sender(&scene.until(|current| sender(current).is_some()).await).unwrap();
    kill(shipper, Signal::SIGKILL).unwrap();
    assert_eq!(mounted(&scene), live);
    scene.plane.start(|_| 1).unwrap();

    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::Live));
    let task = ended.plan.tasks_of(Stage::Ship).next().unwrap();
    let Status::Finished { output: Output::Shipped { sent }, .. } = ended.state(&task).status else {
        panic!("{:?}", ended.state(&task))
    };
    assert_eq!(ended.state(&task).claims, 2);
    assert!(sent < 16 * MIB as u64, "{sent}");
    let whole = Digest::of(&weights).to_string();
    assert_eq!(mounted(&scene), [whole.as_str(), &whole]);
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}
