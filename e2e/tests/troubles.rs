//! New replicas that crash or run out of memory, at whatever moment: they are seen at once, and the old version serves on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cutover_core::Outcome;
use cutover_e2e::App;
use support::{Expect, Scene};

/// Longer than a test may take: nothing here is found out by waiting for the end.
const LONG: &str = "10m";

/// Environment variables of the application.
type Variables = &'static [(&'static str, &'static str)];

fn env(pairs: Variables) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_is_named_with_its_reason_in_each_stage() {
    let scene = Scene::set("troubles");
    scene.deploy(&scene.app("v1")).succeeded();
    let before = scene.replicas();
    let load = scene.load();
    let oom = "was killed for want of memory";
    let table: [(&str, Variables, &[&str]); 5] = [
        ("boot", &[("HOARD", "200"), ("START_DELAY", LONG)], &[oom, "taking 200 MiB", "resources.memory"]),
        (
            "probe",
            &[("READY", "never"), ("CRASH", "7"), ("CRASH_AFTER", "2s")],
            &["exited with code 7", "crashing on purpose"],
        ),
        ("probe", &[("READY", "never"), ("HOARD", "200"), ("HOARD_AFTER", "2s")], &[oom, "resources.memory"]),
        ("soak", &[("CRASH", "1"), ("CRASH_AFTER", "4s")], &["exited with code 1", "crashing on purpose"]),
        ("soak", &[("HOARD", "200"), ("HOARD_AFTER", "4s")], &[oom, "taking 200 MiB"]),
    ];
    for (number, (stage, variables, said)) in table.into_iter().enumerate() {
        let app = App { env: env(variables), ready: LONG, soak: LONG, ..scene.app(&format!("bad-{number}")) };
        scene.deploy(&app).exited(4, said);
        let ended = scene.until(|current| current.outcome().is_some()).await;
        assert_eq!(ended.outcome(), Some(Outcome::TakenBack));
        let failed = ended
            .tasks()
            .into_iter()
            .find(|(task, state)| state.final_failure(task.stage).is_some())
            .unwrap()
            .0;
        assert_eq!(failed.stage.as_str(), stage, "{variables:?}");
        assert_eq!(scene.replicas(), before, "{stage}");
    }
    let report = load.stop().await;
    assert!(report.first_answer_of("v1").is_some());
    // One that dies with requests in flight takes those along. What the old version answers is never lost.
    assert!(
        report.failed.iter().all(|failure| failure.version.as_deref() != Some("v1")),
        "{:?}",
        report.failed
    );
    assert!(report.failed.len() < report.sent as usize / 20, "{:?}", report.failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_dies_takes_the_deployment_back_and_a_good_one_goes_with_it() {
    let scene = Scene::set("job-dies");
    let roles = |env: &str| {
        Some(format!(
            "{{jobs: {{command: work, stop_timeout: 20s, steady: 3s, env: {{{env}}}}}, late: {{command: late, overlap: false}}}}"
        ))
    };
    scene.deploy(&App { roles: roles(""), ..scene.app("v1") }).succeeded();
    let before = scene.replicas();
    assert_eq!(before.len(), 4, "{before:?}");

    let dies = roles("CRASH: 3, CRASH_AFTER: 1s");
    scene
        .deploy(&App { roles: dies, ready: LONG, ..scene.app("v2") })
        .exited(4, &["-jobs-1", "exited with code 3"]);
    let dies_later = roles("CRASH: 5, CRASH_AFTER: 8s");
    let app = App { roles: dies_later, soak: LONG, ..scene.app("v3") };
    scene.deploy(&app).exited(4, &["-jobs-1", "exited with code 5"]);
    assert_eq!(scene.replicas(), before);

    scene.cutover(&["plan"]).exited(1, &["1 of jobs", "then 1 of late start"]);
    scene.deploy(&App { roles: roles(""), ..scene.app("v4") }).succeeded();
    let after = scene.replicas();
    assert_eq!(after.len(), 4, "{after:?}");
    assert!(after.iter().all(|name| !before.contains(name)), "{after:?}");

    // One that starts only once the old ones have ended can't take anything back any more: it is owed, until it runs.
    let late = Some("{late: {command: late, overlap: false, env: {CRASH: 9}}}".to_owned());
    scene.deploy(&App { roles: late, ..scene.app("v5") }).exited(5, &["-late-1", "exited with code 9"]);
    scene.serves("v5").await;
    scene.cutover(&["status"]).exited(0, &["-late-1"]);
    scene.deploy(&App { roles: roles(""), ..scene.app("v6") }).succeeded();
    assert_eq!(scene.replicas().len(), 4);
}
