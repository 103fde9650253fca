//! GitHub.

use cutover_core::QueuePolicy;

use crate::scene::{Answer, SECRET, Scene};
use crate::sign::sha256_of;
use crate::{branch, image, tag};

const PUSH: &[u8] = include_bytes!("../fixtures/github/push.json");
const SOURCES: &str = "sources:
  shop: {kind: github, secret: SECRET, service: shop, destination: production, branches: [main], tags: ['v*'], paths: ['app/**'], images: ['example/**'], policy: queue}
";
const REPOSITORY: Option<&str> = Some("https://github.com/example/shop.git");
const COMMIT: &str = "1481a2de7b2a7d02428ad93446ab166be7793fbb";

async fn deliver(scene: &Scene, event: &str, delivery: &str, body: &[u8]) -> Answer {
    let signature = sha256_of(SECRET, body);
    let headers = [
        ("X-GitHub-Event", event),
        ("X-GitHub-Delivery", delivery),
        ("X-Hub-Signature-256", &signature),
        ("Content-Type", "application/json"),
    ];
    scene.post("shop", &headers, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_tags_and_packages_are_asked_for_and_all_else_is_not() {
    let scene = Scene::start(SOURCES).await;
    for (event, body, why) in [
        ("ping", &include_bytes!("../fixtures/github/ping.json")[..], "a ping"),
        ("push", include_bytes!("../fixtures/github/other_branch.json"), "branch drafts/post"),
        ("push", include_bytes!("../fixtures/github/readme_alone.json"), "no file is different"),
        ("push", include_bytes!("../fixtures/github/deleted.json"), "refs/heads/main is gone"),
        ("issues", PUSH, "the event issues"),
    ] {
        let answer = deliver(&scene, event, "d", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("\"ignored\"") && answer.body.contains(why), "{why}: {}", answer.body);
    }
    assert_eq!(scene.requests().await, []);

    let delivery = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let mut ids = Vec::new();
    for (event, body) in [
        ("push", PUSH),
        ("push", include_bytes!("../fixtures/github/tag.json")),
        ("registry_package", include_bytes!("../fixtures/github/package.json")),
    ] {
        let answer = deliver(&scene, event, delivery, body).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        ids.push(answer.body);
    }
    let requests = scene.requests().await;
    assert_eq!(requests.len(), 3);
    for (request, id) in requests.iter().zip(ids) {
        assert_eq!(id, format!("{{\"requests\":[\"{}\"]}}", request.id()));
        assert_eq!(request.delivery.as_deref(), Some(delivery));
        assert_eq!((request.key.service.as_str(), request.key.destination.as_str()), ("shop", "production"));
        assert_eq!((request.source.as_str(), request.policy), ("shop", QueuePolicy::Queue));
    }
    let digest = "37be1fa36e14bfb6c3bb6f4d5a4cb1c3bb8bd6cbc31bdf5ff4dfd06d4f1a4d0b";
    let occasions: Vec<_> = requests.into_iter().map(|request| request.occasion).collect();
    // The tag's own object is no commit.
    let expected = [
        branch(COMMIT, "main", REPOSITORY),
        tag(COMMIT, "v1.2.0", REPOSITORY),
        image("example/shop/web", digest, "v1.2.0"),
    ];
    assert_eq!(occasions, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_nobody_has_signed_is_refused() {
    let scene = Scene::start(SOURCES).await;
    let event = ("X-GitHub-Event", "push");
    let unsigned = scene.post("shop", &[event], PUSH).await;
    assert_eq!(unsigned.status, 401, "{}", unsigned.body);
    let own = sha256_of(SECRET, PUSH);
    // Which of two counts would be anybody's guess.
    let twice = [event, ("X-Hub-Signature-256", &own), ("X-Hub-Signature-256", &own)];
    assert_eq!(scene.post("shop", &twice, PUSH).await.status, 401);
    assert_eq!(scene.requests().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_somebody_else_has_signed_or_altered_is_refused() {
    let scene = Scene::start(SOURCES).await;
    let own = sha256_of(SECRET, PUSH);
    let altered = String::from_utf8(PUSH.to_vec()).unwrap().replace(COMMIT, &COMMIT.replace('1', "2"));
    for (signature, body) in [
        (sha256_of("another secret that is long enough", PUSH), PUSH),
        (own.clone(), altered.as_bytes()),
        (own.replace("sha256=", "sha1="), PUSH),
        (own.replace("sha256=", ""), PUSH),
        (own[..own.len() - 2].to_owned(), PUSH),
        ("sha256=".to_owned(), PUSH),
        (format!("sha256={}", "0".repeat(64)), PUSH),
    ] {
        let headers = [("X-GitHub-Event", "push"), ("X-Hub-Signature-256", &signature)];
        let answer = scene.post("shop", &headers, body).await;
        assert_eq!(answer.status, 403, "{signature}: {}", answer.body);
        assert!(!answer.body.contains(SECRET) && !answer.body.contains(&own), "{}", answer.body);
    }
    assert_eq!(scene.requests().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_comes_again_is_the_same_whatever_its_headers_call_it() {
    let scene = Scene::start(SOURCES).await;
    let first = deliver(&scene, "push", "one", PUSH).await;
    for delivery in ["one", "two"] {
        let again = deliver(&scene, "push", delivery, PUSH).await;
        assert_eq!((again.status, &again.body), (202, &first.body));
    }
    let requests = scene.requests().await;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].delivery.as_deref(), Some("one"));
}
