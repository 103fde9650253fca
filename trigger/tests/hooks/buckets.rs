//! Buckets.

use cutover_core::Occasion;

use crate::scene::{SECRET, Scene};

const SOURCES: &str = "sources:
  models: {kind: s3, secret: SECRET, service: answers, destination: production, objects: ['models/mini/**']}
  others: {kind: s3, secret: SECRET, service: answers, destination: production, objects: ['models/*']}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_written_is_asked_for() {
    let scene = Scene::start(SOURCES).await;
    let put = include_bytes!("../fixtures/s3/put.json");
    let deliver = async |source: &str, body: &[u8]| {
        scene.post(source, &[("Authorization", &format!("Bearer {SECRET}"))], body).await.status
    };
    assert_eq!(scene.post("models", &[], put).await.status, 401);
    assert_eq!(deliver("models", include_bytes!("../fixtures/s3/test.json")).await, 200);
    assert_eq!(deliver("models", include_bytes!("../fixtures/s3/removed.json")).await, 200);
    assert_eq!(deliver("others", put).await, 200);
    assert_eq!(scene.requests().await, []);
    assert_eq!(deliver("models", put).await, 202);
    let [request] = &scene.requests().await[..] else { panic!("one request") };
    let expected = Occasion::Object {
        bucket: "models".to_owned(),
        key: "mini/lm.gguf".to_owned(),
        version: Some("096fKKXTRTtl3on89fVO.nfljtsv6qko".to_owned()),
    };
    assert_eq!(request.occasion, expected);
}
