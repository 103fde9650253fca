//! A share of the traffic first, on two hosts under load: a good version goes through its steps, a bad one is taken back from its
//! first, and people end holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use std::time::Duration;

use cutover_core::{Deployment, Event, Outcome, Output, Progress, Stage, Status, Task};
use cutover_e2e::{App, ControlPlane, Load, LoadReport, claim};
use cutover_verdict::Outcome as Judged;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Expect, Scene, load_on};
use tokio::time::sleep;

fn canary() -> Task {
    Task { stage: Stage::Canary, host: None }
}

/// The steps, each until it is promoted.
fn in_steps(scene: &Scene, version: &str) -> App {
    let canary = Some("{steps: [{weight: 10%, hold: promoted}, {weight: 50%, hold: promoted}]}".to_owned());
    App { canary, ..scene.app(version) }
}

/// Waits until that step holds, and has counted something; answers with the process that holds it.
async fn holds(scene: &Scene, wanted: u32) -> Pid {
    let holder = |current: &Deployment| {
        claim::held(current, Stage::Canary, |told| match told {
            Some(Progress::Canary { step, text, .. }) => *step == wanted && !text.contains(": 0 requests"),
            _ => false,
        })
    };
    holder(&scene.until(|current| holder(current).is_some()).await).unwrap()
}

/// Tells how long after the verdict each host had its traffic back, by the clock of the journal's server, the record of it included.
async fn tell_how_soon_it_was_back(scene: &Scene) {
    let ended = scene.until(|current| current.outcome().is_some()).await;
    let (journal, key) = (scene.plane.journal().await.unwrap(), ControlPlane::key().unwrap());
    let last_fact = async |task: Task| {
        let entries = journal.entries(&key, ended.id(), &task).await.unwrap();
        let of_the_task = |event: &Event| matches!(event, Event::Fact { .. });
        entries.into_iter().rfind(|entry| of_the_task(&entry.event)).unwrap().at
    };
    let judged = last_fact(canary()).await;
    for host in &ended.plan.hosts {
        let back = last_fact(Task { stage: Stage::Restore, host: Some(host.name.clone()) }).await;
        eprintln!("{}: back after {} ms", host.name, back.since(judged).as_millis());
    }
}

/// How many answers a version has given.
fn answers(report: &LoadReport, version: &str) -> u64 {
    report.by_version.get(&Some(version.to_owned())).map_or(0, |version| version.answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_version_gets_its_share_step_by_step_and_all_of_it_in_the_end() {
    let scene = Scene::set_with("canary", 1);
    // Beside nothing, there is no share.
    scene.deploy(&in_steps(&scene, "v1")).succeeded();
    assert!(scene.until(|current| current.outcome().is_some()).await.state(&canary()).claims == 0);
    let load = load_on(&scene.host);
    let other = load_on(&scene.others[0]);

    scene.project.write(&in_steps(&scene, "v2")).unwrap();
    scene.cutover(&["plan", "--version", "v2"]).exited(1, &["10 % until `cutover promote`, then 50 %"]);
    scene.cutover(&["deploy", "--version", "v2", "--detach"]).succeeded();
    holds(&scene, 0).await;
    let before = load.snapshot();
    sleep(Duration::from_secs(3)).await;
    let after = load.snapshot();
    let share = |version| (answers(&after, version) - answers(&before, version)) as f64;
    let share = share("v2") / (share("v1") + share("v2"));
    // Of 600 requests on this host, 10 %: far outside of what chance makes of that is another share.
    assert!((0.03..0.2).contains(&share), "{share}");
    scene.cutover(&["status"]).exited(0, &["10 % until `cutover promote`: "]);

    // The program is replaced in the middle: whoever takes over goes on with the step that it was.
    scene.cutover(&["promote", "--detach"]).succeeded();
    let holder = holds(&scene, 1).await;
    kill(holder, Signal::SIGKILL).unwrap();
    scene.plane.start(|_| 1).unwrap();
    scene.until(|current| current.state(&canary()).claims == 2).await;
    holds(&scene, 1).await;
    scene.cutover(&["promote"]).succeeded();
    scene.serves("v2").await;
    scene.serves_on(&scene.others[0], "v2").await;
    scene.cutover(&["promote"]).exited(2, &["no canary that holds"]);
    for load in [load, other] {
        let report = load.stop().await;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_taken_back_from_its_share_and_an_aborted_one_leaves_none() {
    let scene = Scene::set("canary-bad");
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();

    let bad = App { env: vec![("FAIL_RATE", "0.5".to_owned())], ..in_steps(&scene, "v2") };
    // By the verdict or by the measure of the soak, whichever is first.
    scene.deploy(&bad).exited(4, &["requests failed"]);
    scene.serves("v1").await;
    let seen = load.snapshot();
    // It has had 20 requests when it is judged, and those that came until it was taken back.
    assert!((1..40).contains(&seen.failed.len()), "{} failed", seen.failed.len());
    assert!(seen.failed.iter().all(|failed| failed.version.as_deref() == Some("v2")), "{:?}", seen.failed);
    assert_eq!(scene.replicas().len(), 2, "the new ones are gone");

    scene.project.write(&in_steps(&scene, "v3")).unwrap();
    scene.cutover(&["deploy", "--version", "v3", "--detach"]).succeeded();
    holds(&scene, 0).await;
    scene.cutover(&["abort"]).succeeded();
    let ended = scene.until(|current| current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::Aborted));
    scene.serves("v1").await;
    let report = load.stop().await;
    assert_eq!(report.failed.len(), seen.failed.len(), "{:?}", report.failed);
    assert!(answers(&report, "v3") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slightly_worse_version_is_caught_beside_the_old_one_and_a_good_one_goes_on_by_its_time() {
    let scene = Scene::set_with("canary-judged", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    let judged =
        |version, steps: &str| App { canary: Some(format!("{{steps: {steps}}}")), ..scene.app(version) };
    // Fewer than the 5 % that a soak allows.
    let worse = judged("v2", "[{weight: 5%, hold: 10m}]");
    let worse = App { env: vec![("FAIL_RATE", "0.02".to_owned())], ..worse };
    scene.deploy(&worse).exited(
        4,
        &["is judged, beside the old version: fail", "more requests failed than is tolerated", "e-value"],
    );
    scene.serves("v1").await;
    let seen = load.snapshot();
    assert!((1..40).contains(&seen.failed.len()), "{} failed", seen.failed.len());
    eprintln!("{} failed requests until it was taken back", seen.failed.len());
    Box::pin(tell_how_soon_it_was_back(&scene)).await;

    scene.deploy(&judged("v3", "[{weight: 30%, hold: 30s}, {weight: 60%, hold: 2s}]")).succeeded();
    scene.serves("v3").await;
    let ended = scene.until(|current| current.outcome().is_some()).await;
    let Status::Finished { output: Output::Canaried { seen: counted, verdict }, .. } =
        ended.state(&canary()).status
    else {
        panic!("{:?}", ended.state(&canary()))
    };
    assert!(counted.requests > 100 && verdict.is_some_and(|verdict| verdict.outcome == Judged::Pass));
    let report = load.stop().await;
    assert_eq!(report.failed.len(), seen.failed.len(), "{:?}", report.failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_slow_now_and_then_is_taken_back_though_nothing_failed() {
    let scene = Scene::set_with("canary-slow", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    // One answer of ten: neither the median nor an average shows much of it.
    let slow = vec![("DELAY", "300ms".to_owned()), ("DELAY_RATE", "0.1".to_owned())];
    let canary = Some("{steps: [{weight: 5%, hold: 10m}]}".to_owned());
    scene
        .deploy(&App { env: slow, canary, ..scene.app("v2") })
        .exited(4, &["is judged, beside the old version: fail", "is tolerated", "over ", "e-value"]);
    scene.serves("v1").await;
    scene.serves_on(&scene.others[0], "v1").await;
    Box::pin(tell_how_soon_it_was_back(&scene)).await;
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    eprintln!("{} requests to the slow version until it was taken back", answers(&report, "v2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_in_the_middle_of_any_step_leaves_traffic_wholly_old() {
    const STEPS: [&str; 4] =
        ["hosts: 1, mirror: 50%", "hosts: 1, weight: 5%, mirror: 0%", "hosts: 1", "hosts: 2"];
    let scene = Scene::set_with("canary-aborted", 1);
    scene.deploy(&scene.app("v1")).succeeded();
    let loads = [load_on(&scene.host), load_on(&scene.others[0])];
    let old = scene.replicas();
    let steps = STEPS.map(|step| format!("{{{step}, hold: promoted}}")).join(", ");
    let canary = Some(format!("{{steps: [{steps}]}}"));

    for (number, step) in (0..).zip(STEPS) {
        let version = format!("v{}", number + 2);
        scene.project.write(&App { canary: canary.clone(), ..scene.app(&version) }).unwrap();
        scene.cutover(&["deploy", "--version", &version, "--detach"]).succeeded();
        for before in 0..number {
            holds(&scene, before).await;
            scene.cutover(&["promote", "--detach"]).succeeded();
        }
        holds(&scene, number).await;
        scene.cutover(&["abort"]).succeeded();
        let ended = scene.until(|current| current.outcome().is_some()).await;
        assert_eq!(ended.outcome(), Some(Outcome::Aborted), "in {step}");
        scene.serves("v1").await;
        scene.serves_on(&scene.others[0], "v1").await;

        let given = |load: &Load| answers(&load.snapshot(), &version);
        let at_the_end: Vec<u64> = loads.iter().map(given).collect();
        assert!(number == 0 || at_the_end[0] > 0, "nobody saw {version} in {step}");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(loads.iter().map(given).collect::<Vec<_>>(), at_the_end, "after {step}");
        assert_eq!(scene.replicas(), old, "after {step}");
    }
    for load in loads {
        let report = load.stop().await;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
    }
}
