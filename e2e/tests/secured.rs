//! Deployments through a control plane whose bus tells its users apart, and somebody who has the key of one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cutover_bus::{DecideError, Error};
use cutover_core::{BusUser, Decision, Fact, Outcome, Output, Program, Stage, Subject, Task};
use cutover_e2e::{App, ControlPlane};
use support::{Expect, Scene};

const BUILDER: BusUser = BusUser::Program(Program::Builder);

/// A connection with the builder's key, and what the server refuses it.
async fn thief(plane: &ControlPlane) -> (async_nats::Client, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let key = std::fs::read_to_string(plane.key_of(BUILDER).unwrap()).unwrap();
    let (said, heard) = tokio::sync::mpsc::unbounded_channel();
    let client = async_nats::ConnectOptions::with_nkey(key.trim().split_once(' ').unwrap().1.to_owned())
        .custom_inbox_prefix(BUILDER.inbox())
        .add_root_certificates(plane.roots())
        .event_callback(move |event| {
            let _ = said.send(event.to_string());
            std::future::ready(())
        })
        .connect(plane.url().unwrap())
        .await
        .unwrap();
    (client, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secured_control_plane_deploys_without_a_failed_request_and_a_stolen_key_changes_nothing() {
    let scene = Scene::set_secured("secured");
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    scene.project.write(&App { soak: "5m", ..scene.app("v2") }).unwrap();
    let mut command = scene.plane.command(scene.project.folder(), &["deploy", "--version", "v2"]);
    let mut deploy = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let soak = Task { stage: Stage::Soak, host: None };
    let running = scene.until(|current| current.state(&soak).is_open()).await;

    // The builder's key decides nothing.
    let stolen = scene.plane.journal_as(BUILDER).await.unwrap();
    let mut log = stolen.service(&ControlPlane::key().unwrap()).await.unwrap();
    let abort = Decision::Aborted { deployment: running.id().clone(), by: "thief".into() };
    let decided = stolen.decide(&mut log, abort.clone()).await;
    assert!(matches!(decided, Err(DecideError::Bus(Error::NotAllowed { .. }))), "{decided:?}");

    // It writes no fact of the switcher's or the prober's, neither by itself nor through the server's answers.
    let (client, mut heard) = thief(&scene.plane).await;
    let claim = running.state(&soak).last_claim;
    let fact = Fact::Finished { claim, output: Output::Soaked(cutover_core::Evidence::default()) };
    let (key, deployment) = (ControlPlane::key().unwrap(), running.id().clone());
    let subject =
        Subject::Fact { key: key.clone(), deployment, task: soak.clone(), kind: fact.kind() }.to_string();
    let content = serde_json::to_vec(&fact).unwrap();
    let switched = subject.replace(".soak.", ".switch.");
    for subject in [&subject, &switched] {
        client.publish(subject.clone(), content.clone().into()).await.unwrap();
        let refused = async { while !heard.recv().await.unwrap().contains(subject.as_str()) {} };
        tokio::time::timeout(Duration::from_secs(20), refused).await.expect("it was not refused");
    }
    let hint = "cutover.run.build.smuggled.goods";
    let stored = client.request(hint, content.clone().into()).await.unwrap();
    assert!(String::from_utf8_lossy(&stored.payload).contains("\"seq\""));
    let request = format!("{{\"last_by_subj\":\"{hint}\"}}");
    client.publish_with_reply("CUTOVER.API.DIRECT.GET.cutover", subject, request.into()).await.unwrap();
    client.flush().await.unwrap();
    // The real end of the soak is the operator's.
    scene.cutover(&["abort"]).succeeded();
    assert!(!deploy.wait().unwrap().success());
    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::Aborted));
    assert!(!ended.state(&soak).is_finished(), "the forged result was taken");
    scene.serves("v1").await;

    scene.deploy(&scene.app("v3")).succeeded();
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(report.first_answer_of("v3").is_some());

    let folder = scene.plane.home().join("home/bus");
    for file in folder.read_dir().unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
