//! A canary that is judged by queries to a real Prometheus and by somebody who judges himself, and judged again later.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use cutover_core::{Stage, Task};
use cutover_e2e::{App, MetricsServer};
use support::answers::Answers;
use support::{Expect, Scene};

/// One step of three seconds; who doesn't answer is waited for no longer than another second.
fn app(scene: &Scene, version: &str, judges: &str) -> App {
    let canary = format!(
        "{{steps: [{{weight: 30%, hold: 3s}}], verdict: {{min_requests: 10, every: 1s, patience: 1s, inconclusive: back, latency: false, {judges}}}}}"
    );
    App { canary: Some(canary), ..scene.app(version) }
}

/// What the application measures of itself: one series for each version.
fn measured(values: &[(&str, &str)]) -> String {
    let series =
        |(version, value): &(&str, &str)| format!("search_errors{{version=\"{version}\"}} {value}\n");
    values.iter().map(series).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_never_passed_in_silence_and_a_good_one_passes() {
    let scene = Scene::set("judges");
    let errors =
        Answers::start(&measured(&[("v1", "0.2"), ("v2", "0.9"), ("v4", "NaN"), ("v6", "0.25")])).await;
    let prometheus = MetricsServer::start(errors.address).unwrap();
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    let asked = |url: &str, condition: &str| {
        format!(
            "prometheus: {{url: \"{url}\"}}, queries: {{search: {{query: 'search_errors{{version=\"{{{{version}}}}\"}}', {condition}}}}}"
        )
    };
    let at_most = asked(&prometheus.url, "at_most: 0.5");
    scene.deploy(&app(&scene, "v2", &at_most)).exited(4, &["search: failing: 0.9 > 0.5"]);
    let empty = ["metrics down", "search: no series"];
    scene.deploy(&app(&scene, "v3", &at_most)).exited(4, &empty);
    scene.deploy(&app(&scene, "v4", &at_most)).exited(4, &["inconclusive", "'NaN' is no number"]);
    let wrong = asked(&prometheus.url, "at_most: 0.5").replace("search_errors", "rate(");
    scene
        .deploy(&app(&scene, "v5", &wrong))
        .exited(4, &["metrics down", "search: no answer: ", "parse error"]);
    let beside = asked(&prometheus.url, "beside: {ratio: 1.1}");
    scene.deploy(&app(&scene, "v6", &beside)).exited(4, &["0.25 > 0.22", "beside 0.2"]);
    scene.serves("v1").await;
    let beside = asked(&prometheus.url, "beside: {ratio: 1.1, difference: 0.1}");
    scene.deploy(&app(&scene, "v6", &beside)).succeeded();
    scene.serves("v6").await;
    scene
        .cutover(&["analyze"])
        .exited(0, &["step 1, 30 % for 3s: ", "pass (go on)", "the same was said then"]);
    let dead = prometheus.url.clone();
    drop(prometheus);
    scene
        .deploy(&app(&scene, "v2", &asked(&dead, "at_most: 0.5")))
        .exited(4, &["metrics down", "search: no answer: ", "Connection refused"]);
    scene.serves("v6").await;
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_judges_himself_and_what_he_said_is_judged_again_later() {
    let scene = Scene::set("judge-webhook");
    let judge = Answers::start(r#"{"verdict":"fail","reason":"it answers in Latin"}"#).await;
    scene.deploy(&scene.app("v1")).succeeded();
    let load = scene.load();
    let webhook = format!("queries: {{ear: {{webhook: \"http://{}/judge\", strikes: 1}}}}", judge.address);
    scene.deploy(&app(&scene, "v2", &webhook)).exited(4, &["ear: failing: it answers in Latin"]);
    let asked = judge.asked();
    assert!(asked.starts_with("POST /judge HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(r#""version":"v2","replaces":"v1","step":0,"weight":300"#), "{asked}");
    scene.serves("v1").await;
    let again = scene.cutover(&["analyze"]);
    again.exited(0, &["fail (go back): ear: failing: it answers in Latin", "then: the canary is judged"]);
    // By other terms, it would have been another verdict.
    scene.project.write(&app(&scene, "v2", "dry_run: true")).unwrap();
    let by_file = scene.cutover(&["analyze", "--by-file"]);
    by_file.exited(0, &["step 1, 30 % for 3s: "]);
    assert!(!by_file.out.contains("Latin"), "{}", by_file.out);

    let dry = format!("{webhook}, dry_run: true");
    scene.deploy(&app(&scene, "v3", &dry)).succeeded();
    scene.serves("v3").await;
    judge.say("it is fine");
    scene.deploy(&app(&scene, "v4", &webhook)).exited(4, &["metrics down", "ear: no answer: it isn't"]);
    judge.say(r#"{"verdict":"pass"}"#);
    scene.deploy(&app(&scene, "v5", &webhook)).succeeded();
    scene.serves("v5").await;

    // What it was judged by is in the journal's entries, and no part of what is known of the service.
    let canary = Task { stage: Stage::Canary, host: None };
    let ended = scene.until(|current| current.outcome().is_some()).await;
    let text = serde_json::to_string(&ended.state(&canary)).unwrap();
    assert!(!text.contains("windows"), "{text}");
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_nobody_uses_gets_requests_of_its_own() {
    let scene = Scene::set("judge-synthetic");
    scene.deploy(&scene.app("v1")).succeeded();
    let quiet = app(&scene, "v2", "no_traffic: back");
    scene.deploy(&quiet).exited(4, &["no traffic", "it got no requests"]);
    let synthetic =
        "synthetic: {rate: 40, requests: [/, {path: /embed, body: '{}', json: length($.embedding) == 384}]}";
    let wrong = app(&scene, "v3", synthetic);
    let wrong = App { env: vec![("MODEL_DIMENSIONS", "12".to_owned())], ..wrong };
    scene.deploy(&wrong).exited(4, &["more requests that were sent on its behalf failed than is tolerated"]);
    scene.serves("v1").await;
    scene.deploy(&app(&scene, "v4", synthetic)).succeeded();
    scene.serves("v4").await;
    let again = scene.cutover(&["analyze"]);
    again.exited(0, &["pass (go on)", "synthetic", "the same was said then"]);
}
