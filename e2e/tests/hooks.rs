//! Commands of the person who deploys run around a deployment: in their order, with what they are told, and what fails before
//! leaves everything as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use cutover_core::{Deployment, Outcome};
use cutover_e2e::App;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Expect, Scene};

const HOOKS: &str = "hooks: {before_build: ./hook, before_deploy: [./hook, with, some words], after_deploy: ./hook, on_failure: ./hook, timeout: 60s}";

/// Writes down what it is told, says something, and fails where it is to.
const SCRIPT: &str = r#"#!/bin/sh
echo "$CUTOVER_HOOK ${CUTOVER_STATUS:--} $CUTOVER_COMMAND $CUTOVER_DESTINATION/$CUTOVER_SERVICE $CUTOVER_VERSION on $CUTOVER_HOSTS, $# words, ${KAMAL_SERVICE_VERSION}, ${CUTOVER_DEPLOYMENT:--}" >> hooks.log
echo "said by $CUTOVER_HOOK"
test ! -e "fail-$CUTOVER_HOOK" || exit 3
"#;

/// Those that ran since it was last asked.
fn ran(folder: &Path) -> Vec<String> {
    let log = folder.join("hooks.log");
    let lines = fs::read_to_string(&log).unwrap_or_default();
    fs::write(log, "").unwrap();
    lines.lines().map(str::to_owned).collect()
}

/// The name of each, and how the deployment ended.
fn names(folder: &Path) -> Vec<String> {
    let first = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    ran(folder).iter().map(first).collect()
}

fn app(scene: &Scene, version: &str) -> App {
    let mut app = scene.app(version);
    app.probes.push(HOOKS);
    app
}

async fn current(scene: &Scene) -> Deployment {
    scene.until(|deployment| deployment.outcome().is_some()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_before_may_stop_a_deployment_and_what_runs_after_changes_nothing() {
    let scene = Scene::set("hooks");
    let folder = scene.project.folder();
    let hook = folder.join("hook");
    fs::write(&hook, SCRIPT).unwrap();
    fs::write(folder.join(".dockerignore"), "*\n!hello\n").unwrap();

    // Nothing was decided: there is no deployment at all.
    scene.deploy(&app(&scene, "v1")).exited(9, &["before_build can't be run: ", "chmod +x"]);
    assert!(scene.plane.journal().await.unwrap().services().await.unwrap().is_empty());
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();

    let ended = scene.deploy(&app(&scene, "v1"));
    ended.exited(0, &["said by before_build", "said by after_deploy"]);
    assert!(!ended.out.contains("said by"), "standard output has results alone: {}", ended.out);
    scene.serves("v1").await;
    let (id, host) = (current(&scene).await.id().clone(), &scene.host.address);
    let told = |hook: &str, status: &str, words: u8, id: &str| {
        format!("{hook} {status} deploy production/hello v1 on {host}, {words} words, hello@v1, {id}")
    };
    let expected = [
        told("before_build", "-", 0, "-"),
        told("before_deploy", "-", 2, id.as_str()),
        told("after_deploy", "live", 0, id.as_str()),
    ];
    assert_eq!(ran(folder), expected);

    fs::write(folder.join("fail-before_deploy"), "").unwrap();
    let refused = scene.deploy(&app(&scene, "v2"));
    refused.exited(9, &["before_deploy failed, exit status: 3, and nothing was decided"]);
    assert_eq!(names(folder), ["before_build -", "before_deploy -"]);
    assert_eq!(*current(&scene).await.id(), id, "a deployment was decided");
    scene.serves("v1").await;
    scene.cutover(&["deploy", "--version", "v2", "--skip-hooks"]).succeeded();
    scene.serves("v2").await;
    assert!(ran(folder).is_empty());
    fs::remove_file(folder.join("fail-before_deploy")).unwrap();

    fs::write(folder.join("fail-after_deploy"), "").unwrap();
    scene
        .cutover(&["rollback", "--boot"])
        .exited(0, &["warning: after_deploy failed, exit status: 3; the deployment has ended as it has"]);
    assert_eq!(names(folder), ["before_deploy -", "after_deploy live"]);
    scene.serves("v1").await;

    let mut bad = app(&scene, "v3");
    bad.env.push(("READY", "never".to_owned()));
    bad.ready = "2s";
    scene.deploy(&bad).exited(4, &["said by on_failure"]);
    assert_eq!(names(folder), ["before_build -", "before_deploy -", "on_failure taken_back"]);
    scene.cutover(&["replay"]).exited(4, &[]);
    assert_eq!(names(folder), ["before_deploy -", "on_failure taken_back"]);

    // Who doesn't wait is told that nobody does.
    scene.project.write(&app(&scene, "v4")).unwrap();
    scene
        .cutover(&["deploy", "--version", "v4", "--detach"])
        .exited(0, &["nobody waits for the end here, so there is no after_deploy and no on_failure"]);
    let last = scene
        .until(|deployment| deployment.plan.release.version == "v4" && deployment.outcome().is_some())
        .await;
    assert_eq!(last.outcome(), Some(Outcome::Live));
    assert_eq!(names(folder), ["before_build -", "before_deploy -"]);
}

/// Nothing is left of a hook that began this.
fn sleeps_no_more(child: &str) {
    let command = fs::read(Path::new("/proc").join(child.trim()).join("cmdline")).unwrap_or_default();
    assert!(!command.starts_with(b"sleep"), "{child} still sleeps");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_too_long_or_is_interrupted_ends_with_all_that_it_has_started() {
    let scene = Scene::set("hooks-long");
    let folder = scene.project.folder();
    let mut app = scene.app("v1");
    app.probes.push("hooks: {before_deploy: [sh, -c, \"sleep 600 & echo $! > child; wait\"], timeout: 5s}");
    scene.deploy(&app).exited(
        9,
        &["before_deploy took longer than 5s and was ended, and nothing was decided", "--skip-hooks"],
    );
    sleeps_no_more(&fs::read_to_string(folder.join("child")).unwrap());

    let mut app = scene.app("v1");
    app.probes.push("hooks: {before_deploy: [sh, -c, \"sleep 600 & echo $! > other; wait\"]}");
    scene.project.write(&app).unwrap();
    let command = scene.plane.command(folder, &["deploy"]).spawn().unwrap();
    let child = loop {
        match fs::read_to_string(folder.join("other")) {
            Ok(child) if child.ends_with('\n') => break child,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    kill(Pid::from_raw(command.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let ended = command.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    sleeps_no_more(&child);
    assert!(scene.plane.journal().await.unwrap().services().await.unwrap().is_empty());
}
