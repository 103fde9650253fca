//! Whole deployments on a separate Docker host, under load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Stdio;

use cutover_core::{Outcome, Stage, Task};
use cutover_e2e::App;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Expect, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_deploys_one_runs_and_the_other_is_told_which() {
    let scene = Scene::set("two");
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();

    scene.project.write(&App { env: vec![("READY_AFTER", "3s".into())], ..scene.app("v2") }).unwrap();
    let mut first =
        scene.plane.command(scene.project.folder(), &["deploy"]).stdout(Stdio::null()).spawn().unwrap();
    let running = scene.until(|current| current.plan.release.settings.env.contains_key("READY_AFTER")).await;
    let by = running.plan.by.clone();
    scene.cutover(&["deploy", "--force"]).exited(3, &[running.id().short(), &by, "cutover abort"]);
    assert!(first.wait().unwrap().success());

    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(report.first_answer_of("v2").is_some());
    assert_eq!(scene.replicas().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_the_command_ends_the_deployment_goes_on() {
    let scene = Scene::set("signals");
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    for (version, signal) in [("v2", Signal::SIGINT), ("v3", Signal::SIGTERM), ("v4", Signal::SIGKILL)] {
        scene.project.write(&App { env: vec![("READY_AFTER", "2s".into())], ..scene.app(version) }).unwrap();
        let mut command = scene.plane.command(scene.project.folder(), &["deploy", "--version", version]);
        let mut deploy = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        scene.until(|current| current.plan.release.version == version).await;
        kill(Pid::from_raw(i32::try_from(deploy.id()).unwrap()), signal).unwrap();
        let status = deploy.wait().unwrap();
        assert!(!status.success(), "{signal}: {status}");
        scene.cutover(&["deploy", "--force"]).exited(3, &["runs"]);
        let ended = scene
            .until(|current| current.plan.release.version == version && current.outcome().is_some())
            .await;
        assert_eq!(ended.outcome(), Some(Outcome::Live), "{signal}");
    }
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(report.first_answer_of("v4").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_exits_at_once_is_a_failure_at_once() {
    let scene = Scene::set("exits");
    scene.deploy(&scene.app("v1")).succeeded();
    let app = App { env: vec![("CRASH", "42".into())], ready: "10m", ..scene.app("v2") };
    // Ten minutes are what it could take; the test would not wait for it.
    scene.deploy(&app).exited(4, &["exited with code 42", "hello"]);
    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::TakenBack));
    assert!(scene.replicas().iter().all(|name| !name.contains(ended.id().short())), "{:?}", scene.replicas());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_in_the_soak_brings_the_old_version_back() {
    let scene = Scene::set("abort");
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    scene.project.write(&App { soak: "5m", ..scene.app("v2") }).unwrap();
    let mut deploy =
        scene.plane.command(scene.project.folder(), &["deploy"]).stdout(Stdio::null()).spawn().unwrap();
    let soak = Task { stage: Stage::Soak, host: None };
    scene.until(|current| current.state(&soak).is_open()).await;
    scene.cutover(&["abort"]);
    assert_eq!(deploy.wait().unwrap().code(), Some(6));
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(report.first_answer_of("v2").is_some(), "it had traffic");
    assert_eq!(scene.replicas().len(), 2);
    scene.cutover(&["status"]).exited(0, &["aborted: hello v1 still serves"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_crashed_comes_back_with_what_served() {
    let scene = Scene::set("crash");
    // After two deployments, those that serve don't have the addresses that Docker would give away first.
    scene.deploy(&scene.app("v1")).succeeded();
    scene.deploy(&scene.app("v2")).succeeded();
    scene.host.crash().unwrap();
    scene.host.recover().unwrap();
    scene.serves("v2").await;

    // Its Docker alone is killed: at its next start it stops what still runs.
    scene.host.exec(&["sh", "-c", DOCKERD_IS_KILLED]).unwrap();
    scene.serves("v2").await;
    assert_eq!(scene.replicas().len(), 2);

    scene.deploy(&scene.app("v3")).succeeded();
    scene.serves("v3").await;
    assert_eq!(scene.replicas().len(), 2);
}

/// Kills the Docker daemon of a host and starts it again as it was, then waits until it answers.
const DOCKERD_IS_KILLED: &str = r#"
set -e
pid=$(cat /run/docker.pid)
set -- $(tr '\0' ' ' <"/proc/$pid/cmdline")
kill -KILL "$pid"
timeout 10 sh -c "while [ -e /proc/$pid ]; do sleep 0.05; done"
setsid "$@" >/var/lib/dockerd.log 2>&1 &
timeout 60 sh -c 'until docker version >/dev/null 2>&1; do sleep 0.05; done'
"#;
