//! Gitea and Forgejo.

use crate::branch;
use crate::scene::{SECRET, Scene};
use crate::sign::hex_of;

const PUSH: &[u8] = include_bytes!("../fixtures/gitea/push.json");
const SOURCES: &str = "sources:
  wiki: {kind: forgejo, secret: SECRET, service: wiki, destination: staging, branches: [main]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_asked_for_where_its_signature_is_right() {
    let scene = Scene::start(SOURCES).await;
    let deliver = async |event: &str, signature: &str| {
        let headers =
            [("X-Gitea-Event", event), ("X-Gitea-Delivery", "f6266f16"), ("X-Gitea-Signature", signature)];
        scene.post("wiki", &headers, PUSH).await.status
    };
    assert_eq!(scene.post("wiki", &[("X-Gitea-Event", "push")], PUSH).await.status, 401);
    assert_eq!(deliver("push", &hex_of("another secret that is long enough", PUSH)).await, 403);
    let own = hex_of(SECRET, PUSH);
    assert_eq!(deliver("create", &own).await, 200);
    assert_eq!(scene.requests().await, []);
    assert_eq!(deliver("push", &own).await, 202);
    let [request] = &scene.requests().await[..] else { panic!("one request") };
    let commit = "bffeb74224043ba2feb48d137756c8a9331c449a";
    assert_eq!(request.occasion, branch(commit, "main", Some("http://localhost:3000/example/shop.git")));
    assert_eq!(request.delivery.as_deref(), Some("f6266f16"));
}
