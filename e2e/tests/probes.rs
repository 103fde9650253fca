//! Probes on a real host under load: what is asked before there is traffic decides whether there is any, and what is asked
//! afterwards, whether a replica is started anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use cutover_core::Program;
use cutover_e2e::{App, ProberProcess};
use support::{Expect, Scene};

/// What a model of 384 dimensions must answer.
const INFERENCE: &str = "inference_probe: {path: /embed, body: the quick brown fox, json: length($.embedding) == 384, \
                         warm_up: 1, calls: 5, p95: 500ms, period: 100ms}";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_gets_traffic_once_it_is_loaded_and_one_that_answers_nonsense_never_does() {
    let scene = Scene::set("probes");
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();

    // It is ready at once, and its model is loaded three seconds later.
    let late = |version| App {
        env: vec![("MODEL_AFTER", "3s".to_owned())],
        probes: vec![INFERENCE],
        ready: "20s",
        ..scene.app(version)
    };
    scene.project.write(&late("v2")).unwrap();
    scene
        .cutover(&["plan", "--version", "v2"])
        .exited(1, &["GET /up must answer 2xx", "6 calls of POST /embed go well, 500ms at p95 within 20s"]);
    let began = std::time::Instant::now();
    scene.deploy(&late("v2")).succeeded();
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    scene.serves("v2").await;

    // Another model, by mistake: it is ready, it answers 200, and it is not the one that is meant.
    let mut wrong = late("v3");
    wrong.env = vec![("MODEL_DIMENSIONS", "16".to_owned())];
    scene.deploy(&wrong).exited(
        4,
        &[
            "failed inference_probe 3 times in a row: 200 OK",
            "`length($.embedding) == 384` is not true: it is 16",
        ],
    );
    scene.serves("v2").await;
    assert_eq!(scene.replicas().len(), 2, "the new ones are gone");

    // And one that is never loaded.
    let mut never = late("v4");
    never.env = vec![("MODEL_AFTER", "1h".to_owned())];
    never.ready = "4s";
    scene.deploy(&never).exited(4, &["inference_probe: 503 Service Unavailable \"the model is not loaded\""]);
    scene.serves("v2").await;

    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let versions: Vec<_> = report.by_version.keys().flatten().cloned().collect();
    assert_eq!(versions, ["v1", "v2"], "nobody else has answered anything");
}

/// The example in an image with a shell and a HEALTHCHECK: it is healthy once there is a file.
const DOCKERFILE: &str = "\
FROM debian:bookworm-slim
COPY hello /hello
ARG VERSION=unknown
ARG PAYLOAD=0
ENV VERSION=$VERSION
EXPOSE 3000
HEALTHCHECK --interval=1s --retries=2 CMD test -f /tmp/well || { echo there is no file; exit 1; }
ENTRYPOINT [\"/hello\"]
";

#[tokio::test(flavor = "multi_thread")]
async fn commands_in_the_container_and_the_images_own_health_check_decide() {
    let scene = Scene::set("probes-docker");
    std::fs::write(scene.project.folder().join("Dockerfile"), DOCKERFILE).unwrap();
    let probed = |version, startup| App {
        readiness: Some("{healthcheck: image, period: 250ms}"),
        probes: vec![startup],
        ready: "15s",
        // A file system that can't be written has a place in memory.
        replicas: 1,
        ..scene.app(version)
    };
    let makes_well = "startup_probe: {command: [sh, -c, \"echo starting; touch /tmp/well\"], period: 250ms}";
    scene.deploy(&probed("v1", makes_well)).succeeded();
    scene.serves("v1").await;

    let refuses =
        "startup_probe: {command: [sh, -c, \"echo no model here; exit 3\"], period: 250ms, failures: 2}";
    scene
        .deploy(&probed("v2", refuses))
        .exited(4, &["failed startup_probe 2 times in a row: exited with code 3 \"no model here\""]);
    let leaves_ill = "startup_probe: {command: [\"true\"]}";
    scene
        .deploy(&probed("v3", leaves_ill))
        .exited(4, &["unhealthy \"there is no file\"", "the image's HEALTHCHECK must say healthy"]);
    scene.serves("v1").await;

    // One without any is told so at once.
    let without =
        DOCKERFILE.lines().filter(|line| !line.starts_with("HEALTHCHECK")).collect::<Vec<_>>().join("\n");
    std::fs::write(scene.project.folder().join("Dockerfile"), without).unwrap();
    scene
        .deploy(&probed("v4", leaves_ill))
        .exited(4, &["has no HEALTHCHECK", "give the Dockerfile a HEALTHCHECK"]);
    scene.serves("v1").await;
}

/// Waits until a prober shows that a replica answers well, or that it doesn't.
async fn until_shown(prober: &ProberProcess, replica: &str, success: f64) {
    let wait = async {
        while prober.shows("probe_success", replica).ok().flatten() != Some(success) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(90), wait).await;
    assert!(waited.is_ok(), "{replica} is never shown as {success}:\n{}", prober.log().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_replica_that_dies_is_started_anew_whichever_prober_watches_and_no_request_fails() {
    let scene = Scene::set_without(Program::Prober, "probes-watch");
    std::fs::write(scene.project.folder().join("Dockerfile"), DOCKERFILE).unwrap();
    let mut first = ProberProcess::start(&scene.plane).unwrap();
    let app = App {
        probes: vec![
            "liveness_probe: {command: [sh, -c, \"test ! -f /tmp/ill || { echo so ill; exit 1; }\"], period: 300ms}",
        ],
        ..scene.app("v1")
    };
    scene.deploy(&app).succeeded();
    let replicas = scene.replicas();
    let [one, other] = replicas.as_slice() else { panic!("{replicas:?}") };
    for replica in [one, other] {
        until_shown(&first, replica, 1.0).await;
        assert!(first.shows("probe_duration_seconds", replica).unwrap().unwrap() > 0.0);
    }
    let started = |replica: &str| {
        let started = ["docker", "inspect", "--format", "{{.State.StartedAt}}", replica];
        scene.host.exec(&started).unwrap()
    };
    let fall_ill =
        |replica: &str| scene.host.exec(&["docker", "exec", replica, "touch", "/tmp/ill"]).unwrap();

    // What is in memory, and the illness with it, is gone with the restart.
    let load = scene.load();
    let (one_before, other_before) = (started(one), started(other));
    fall_ill(one);
    until_shown(&first, one, 0.0).await;
    until_shown(&first, one, 1.0).await;
    assert_ne!(started(one), one_before, "it was started anew");
    assert_eq!(started(other), other_before, "the other one was left alone");
    let log = first.log().unwrap();
    assert!(log.contains("is started anew") && log.contains(one.as_str()) && log.contains("so ill"), "{log}");
    let named = format!("started anew: {one} on {}, ", scene.host.address);
    scene.cutover(&["status"]).exited(0, &[&named, ": exited with code 1 \"so ill\""]);
    scene.serves("v1").await;

    // Nobody says goodbye: another one watches on, and knows what was.
    let second = ProberProcess::start(&scene.plane).unwrap();
    first.kill().unwrap();
    until_shown(&second, other, 1.0).await;
    fall_ill(other);
    until_shown(&second, other, 0.0).await;
    until_shown(&second, other, 1.0).await;
    assert_ne!(started(other), other_before);
    let also_named = format!("started anew: {other} on {}, ", scene.host.address);
    scene.cutover(&["status"]).exited(0, &[&named, &also_named]);

    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);

    // The next version is watched in their place.
    scene.deploy(&App { version: "v2".to_owned(), ..app }).succeeded();
    let new = scene.replicas();
    until_shown(&second, &new[0], 1.0).await;
    assert_eq!(second.shows("probe_success", one).unwrap(), None);
    let status = scene.cutover(&["status"]);
    assert!(!status.out.contains("started anew"), "{}", status.out);
}
