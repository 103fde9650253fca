//! Bitbucket Cloud.

use crate::scene::{SECRET, Scene};
use crate::sign::sha256_of;
use crate::{branch, tag};

const PUSH: &[u8] = include_bytes!("../fixtures/bitbucket/push.json");
const SOURCES: &str = "sources:
  shop: {kind: bitbucket, secret: SECRET, service: shop, destination: production, branches: [main], tags: ['v*']}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_push_changes_is_asked_for_one_by_one() {
    let scene = Scene::start(SOURCES).await;
    let deliver = async |event: &str, body: &[u8], signature: &str| {
        let headers = [
            ("X-Event-Key", event),
            ("X-Request-UUID", "a5a1a5a1-0000-4000-8000-000000000000"),
            ("X-Hub-Signature", signature),
        ];
        scene.post("shop", &headers, body).await.status
    };
    let deleted = include_bytes!("../fixtures/bitbucket/deleted.json");
    assert_eq!(scene.post("shop", &[("X-Event-Key", "repo:push")], PUSH).await.status, 401);
    assert_eq!(deliver("repo:push", PUSH, &sha256_of("another secret that is long enough", PUSH)).await, 403);
    assert_eq!(deliver("repo:push", deleted, &sha256_of(SECRET, deleted)).await, 200);
    assert_eq!(deliver("pullrequest:created", PUSH, &sha256_of(SECRET, PUSH)).await, 200);
    assert_eq!(scene.requests().await, []);
    for _ in 0..2 {
        assert_eq!(deliver("repo:push", PUSH, &sha256_of(SECRET, PUSH)).await, 202);
    }
    let (commit, repository) =
        ("709d658dc5b6d6afcd46049c2f332ee3f515a67d", Some("https://bitbucket.org/example/shop"));
    let occasions: Vec<_> = scene.requests().await.into_iter().map(|request| request.occasion).collect();
    assert_eq!(occasions, [branch(commit, "main", repository), tag(commit, "v2.0.0", repository)]);
}
