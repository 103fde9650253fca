//! Whoever signs as it is asked for here.

use crate::branch;
use crate::scene::{SECRET, Scene};
use crate::sign::{sha256_of, time};

const SOURCES: &str = "sources:
  ci: {kind: signed, secret: SECRET, service: shop, destination: production, branches: [main], images: [shop/web], objects: ['models/**']}
";
const COMMIT: &str = "1481a2de7b2a7d02428ad93446ab166be7793fbb";

fn push(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"commit\":\"{COMMIT}\",\"branch\":\"main\"}}")
}

async fn deliver(scene: &Scene, at: &str, body: &str) -> u16 {
    let signature = sha256_of(SECRET, format!("{at}.{body}").as_bytes());
    scene
        .post("ci", &[("Cutover-Timestamp", at), ("Cutover-Signature", &signature)], body.as_bytes())
        .await
        .status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_of_before_is_refused_and_one_that_comes_again_is_the_same() {
    let scene = Scene::start(SOURCES).await;
    let (now, body) = (time(0), push("1"));
    let own = sha256_of(SECRET, format!("{now}.{body}").as_bytes());
    for away in [-301, -86_400, 301] {
        assert_eq!(deliver(&scene, &time(away), &body).await, 403, "{away} s");
    }
    for at in ["", "now", "-1", "99999999999999999999"] {
        assert_eq!(deliver(&scene, at, &body).await, 403, "{at}");
    }
    // What was signed then, with the time of now.
    let later = time(1);
    let headers = [("Cutover-Timestamp", later.as_str()), ("Cutover-Signature", &own)];
    assert_eq!(scene.post("ci", &headers, body.as_bytes()).await.status, 403);
    assert_eq!(scene.post("ci", &[("Cutover-Signature", &own)], body.as_bytes()).await.status, 401);
    assert_eq!(scene.post("ci", &[("Cutover-Timestamp", &now)], body.as_bytes()).await.status, 401);
    // Of the body alone.
    let headers =
        [("Cutover-Timestamp", now.as_str()), ("Cutover-Signature", &sha256_of(SECRET, body.as_bytes()))];
    assert_eq!(scene.post("ci", &headers, body.as_bytes()).await.status, 403);
    assert_eq!(scene.requests().await, []);

    for at in [&now, &time(-200), &time(200)] {
        assert_eq!(deliver(&scene, at, &body).await, 202);
    }
    assert_eq!(deliver(&scene, &now, &push("2")).await, 202);
    let requests = scene.requests().await;
    assert_eq!(requests.iter().map(|request| request.id()).collect::<Vec<_>>(), ["ci/1", "ci/2"]);
    assert_eq!(requests[0].occasion, branch(COMMIT, "main", None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bus_would_never_take_is_refused_for_good() {
    let scene = Scene::start(SOURCES).await;
    let image = |tag: &str| {
        let image = format!(
            "{{\"repository\":\"shop/web\",\"digest\":\"sha256:{}\",\"tag\":\"{tag}\"}}",
            "0".repeat(64)
        );
        format!("{{\"id\":\"{}\",\"image\":{image}}}", tag.len())
    };
    assert_eq!(deliver(&scene, &time(0), &image(&"v".repeat(16 << 10))).await, 400);
    assert_eq!(deliver(&scene, &time(0), &image(&"v".repeat(14 << 10))).await, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_not_clear_is_refused() {
    let scene = Scene::start(SOURCES).await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let image = format!(
        "{{\"id\":\"3\",\"image\":{{\"repository\":\"shop/web\",\"digest\":\"{digest}\",\"tag\":\"v1\"}}}}"
    );
    for body in [
        "",
        "[]",
        "{}",
        &push("a b"),
        &push(""),
        &push("1").replace(COMMIT, "main"),
        &push("1").replace(COMMIT, "--upload-pack=x"),
        &push("1").replace("\"branch\"", "\"ref\""),
        &push("1").replace("\"branch\"", "\"tag\":\"v1\",\"branch\""),
        &push("1").replace("\"id\"", "\"repository\":\"https://evil.example.com\",\"id\""),
        &image.replace("\"id\"", "\"branch\":\"main\",\"id\""),
        &image.replace("sha256:0", "sha256:x"),
    ] {
        assert_eq!(deliver(&scene, &time(0), body).await, 400, "{body}");
    }
    assert_eq!(deliver(&scene, &time(0), &push("1").replace("main", "drafts")).await, 200);
    assert_eq!(scene.requests().await, []);
    assert_eq!(deliver(&scene, &time(0), &image).await, 202);
    let object = "{\"id\":\"4\",\"object\":{\"bucket\":\"models\",\"key\":\"mini/lm.gguf\"}}";
    assert_eq!(deliver(&scene, &time(0), object).await, 202);
    assert_eq!(scene.requests().await.len(), 2);
}
