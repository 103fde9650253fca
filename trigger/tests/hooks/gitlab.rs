//! GitLab, with a secret token and with a signing token.

use crate::scene::{SECRET, Scene};
use crate::sign::{standard_of, time};
use crate::{branch, tag};

const PUSH: &[u8] = include_bytes!("../fixtures/gitlab/push.json");
const SOURCES: &str = "sources:
  blog: {kind: gitlab, secret: SECRET, service: blog, destination: production, branches: [main], tags: ['v*'], paths: ['app/**']}
";
const REPOSITORY: Option<&str> = Some("https://gitlab.example.com/example/shop.git");
const COMMIT: &str = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7";
const KEY: &str = "dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_token_is_the_sources_or_the_delivery_is_refused() {
    let scene = Scene::start(SOURCES).await;
    let deliver = async |event: &str, token: Option<&str>, body: &[u8]| {
        let mut headers =
            vec![("X-Gitlab-Event", event), ("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e")];
        headers.extend(token.map(|token| ("X-Gitlab-Token", token)));
        scene.post("blog", &headers, body).await.status
    };
    assert_eq!(deliver("Push Hook", None, PUSH).await, 401);
    for token in ["", "x", &SECRET[1..], &format!("{SECRET}0"), &SECRET.to_uppercase()] {
        assert_eq!(deliver("Push Hook", Some(token), PUSH).await, 403, "{token}");
    }
    let own = Some(SECRET);
    assert_eq!(
        deliver("Merge Request Hook", own, include_bytes!("../fixtures/gitlab/merge_request.json")).await,
        200
    );
    assert_eq!(deliver("Push Hook", own, include_bytes!("../fixtures/gitlab/deleted.json")).await, 200);
    assert_eq!(scene.requests().await, []);
    assert_eq!(deliver("Push Hook", own, PUSH).await, 202);
    assert_eq!(deliver("Tag Push Hook", own, include_bytes!("../fixtures/gitlab/tag.json")).await, 202);
    let occasions: Vec<_> = scene.requests().await.into_iter().map(|request| request.occasion).collect();
    assert_eq!(occasions, [branch(COMMIT, "main", REPOSITORY), tag(COMMIT, "v1.0.0", REPOSITORY)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_token_vouches_for_id_time_and_body() {
    let mut scene = Scene::without_bus(SOURCES, &format!("whsec_{KEY}")).await;
    scene.bus_comes().await;
    scene.until_open().await;
    let deliver = async |signature: &str, id: &str, time: &str, body: &[u8]| {
        let headers = [
            ("X-Gitlab-Event", "Push Hook"),
            ("webhook-signature", signature),
            ("webhook-id", id),
            ("webhook-timestamp", time),
        ];
        scene.post("blog", &headers, body).await.status
    };
    let (now, long_ago, id) = (time(0), time(-301), "f5e5f430-f57b-4e6e-9fac-d9128cd7232f");
    let own = standard_of(KEY, id, &now, PUSH);
    assert_eq!(deliver(&standard_of(KEY, id, &long_ago, PUSH), id, &long_ago, PUSH).await, 403);
    assert_eq!(deliver(&own, "another", &now, PUSH).await, 403);
    assert_eq!(deliver(&own, id, &time(1), PUSH).await, 403);
    assert_eq!(deliver(&own, id, &now, b"{}").await, 403);
    assert_eq!(deliver(own.trim_start_matches("v1,"), id, &now, PUSH).await, 403);
    // So many that it isn't among those that are looked at.
    assert_eq!(deliver(&format!("{}{own}", "v1,AAAA ".repeat(5)), id, &now, PUSH).await, 403);
    // The token alone, as a secret token, is none.
    let plain = scene.post("blog", &[("X-Gitlab-Token", &format!("whsec_{KEY}"))], PUSH).await;
    assert_eq!(plain.status, 401);
    assert_eq!(scene.requests().await, []);
    // Where keys change, there are two.
    assert_eq!(deliver(&format!("v1,AAAA {own}"), id, &now, PUSH).await, 202);
    assert_eq!(scene.requests().await.len(), 1);
}
