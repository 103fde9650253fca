//! What people get wrong, and what is wrong around them: a clear error, its own exit code, nothing half-done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;

use cutover_core::Outcome;
use support::{Expect, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_wrong_in_the_deploy_file_reaches_a_host() {
    let scene = Scene::set("file");
    let good = fs::read_to_string(scene.project.deploy_file()).unwrap();
    let write = |text: &str| fs::write(scene.project.deploy_file(), text).unwrap();

    write(&good.replace("replicas: 2", "replica: 2"));
    scene.cutover(&["deploy"]).exited(2, &["cutover.yaml:4:1", "replica: 2", "replicas"]);
    write(&good.replace("port: 3000", "port: many"));
    scene.cutover(&["deploy"]).exited(2, &["cutover.yaml:3:7", "port: many"]);
    write(&good);
    scene.cutover(&["deploy", "staging"]).exited(2, &["staging", "production"]);
    fs::remove_file(scene.project.deploy_file()).unwrap();
    scene.cutover(&["deploy"]).exited(2, &["cutover.yaml", "cutover init"]);
    write(&good);
    fs::remove_file(scene.project.folder().join("Dockerfile")).unwrap();
    scene.cutover(&["deploy"]).exited(2, &["Dockerfile"]);

    assert!(scene.replicas().is_empty());
    let journal = scene.plane.journal().await.unwrap();
    assert!(journal.services().await.unwrap().is_empty(), "a decision was taken on a bad deploy file");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_not_be_reached_is_named() {
    let scene = Scene::set("reach");
    let good = fs::read_to_string(scene.project.deploy_file()).unwrap();
    let unreachable = ["--nats-url", "nats://user:hunter2@127.0.0.1:1", "deploy"];
    let ended = scene.cutover(&unreachable);
    ended.exited(7, &["127.0.0.1:1"]);
    assert!(!format!("{}{}", ended.out, ended.err).contains("hunter2"));

    // An address of the range for benchmarks where nobody is.
    fs::write(scene.project.deploy_file(), good.replace(&scene.host.address, "198.19.255.254")).unwrap();
    scene.cutover(&["setup"]).exited(8, &["198.19.255.254"]);

    // A key that the host doesn't know.
    fs::write(scene.project.deploy_file(), &good).unwrap();
    let other = scene.project.folder().join("other_key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&other)
        .status();
    assert!(made.unwrap().success());
    let wrong = scene
        .plane
        .command(scene.project.folder(), &["setup"])
        .env("CUTOVER_SSH_KEY", &other)
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&[wrong.stdout, wrong.stderr].concat()).contains("other_key"));

    // A host whose key has changed: the line of known_hosts is named, and --accept-new doesn't help.
    let changed = scene.project.folder().join("known_hosts");
    let key = fs::read_to_string(other.with_extension("pub")).unwrap();
    fs::write(&changed, format!("{} {key}", scene.host.address)).unwrap();
    let changed_key = scene
        .plane
        .command(scene.project.folder(), &["setup", "--accept-new"])
        .env("CUTOVER_KNOWN_HOSTS", &changed)
        .output()
        .unwrap();
    assert_eq!(changed_key.status.code(), Some(8));
    let said = String::from_utf8_lossy(&[changed_key.stdout, changed_key.stderr].concat()).into_owned();
    assert!(said.contains("known_hosts:1") && said.contains("has changed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_on_the_way_leaves_nothing_half_done() {
    let scene = Scene::set("way");
    let good = fs::read_to_string(scene.project.deploy_file()).unwrap();
    let builder = good.lines().find(|line| line.starts_with("builder:")).unwrap();

    // An image that exists nowhere: no registry answers here either.
    fs::write(scene.project.deploy_file(), good.replace(builder, "image: hello-that-nobody-built:v1"))
        .unwrap();
    scene.cutover(&["deploy"]).exited(4, &["hello-that-nobody-built:v1"]);
    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::Failed));

    // A build step that fails: which, and what it said.
    fs::write(scene.project.deploy_file(), &good).unwrap();
    let dockerfile = scene.project.folder().join("Dockerfile");
    let healthy = fs::read_to_string(&dockerfile).unwrap();
    fs::write(&dockerfile, healthy.replace("RUN ", "RUN echo this is broken && exit 3; ")).unwrap();
    scene.cutover(&["deploy"]).exited(4, &["this is broken", "exit 3"]);
    fs::write(&dockerfile, &healthy).unwrap();

    // No Docker on the host.
    scene.host.exec(&["mv", "/var/run/docker.sock", "/var/run/docker.away"]).unwrap();
    scene.cutover(&["setup"]).exited(8, &[&scene.host.address, "Docker"]);
    scene.host.exec(&["mv", "/var/run/docker.away", "/var/run/docker.sock"]).unwrap();

    assert!(scene.replicas().is_empty(), "{:?}", scene.replicas());
    scene.cutover(&["deploy"]).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_with_its_holder() {
    let host = cutover_e2e::Host::up(&format!("port-{}", std::process::id())).unwrap();
    let plane = cutover_e2e::ControlPlane::up(&[&host], 1).unwrap();
    let project = cutover_e2e::Project::new().unwrap();
    project.write(&cutover_e2e::App::new("v1", &[&host.address])).unwrap();
    // The example application itself takes port 80 of the host.
    let hello = cutover_e2e::dist().join("hello");
    let take = format!("PORT=80 setsid {} >/dev/null 2>&1 &", hello.canonicalize().unwrap().display());
    host.exec(&["sh", "-c", &take]).unwrap();
    let answers = || std::net::TcpStream::connect(host.http().unwrap()).is_ok();
    for _ in 0..100 {
        if answers() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    plane.run(project.folder(), &["setup"]).unwrap().exited(8, &["80", "hello"]);
}
