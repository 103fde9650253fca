//! A bus that is away, and one that comes back.

use crate::scene::{SECRET, Scene};

const BODY: &[u8] = include_bytes!("../fixtures/registry/harbor.json");
const SOURCES: &str = "sources:
  shop: {kind: registry, secret: SECRET, service: shop, destination: production, images: [shop/web]}
";

async fn deliver(scene: &Scene) -> u16 {
    scene.post("shop", &[("Authorization", SECRET)], BODY).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_accepted_before_the_bus_has_stored_it() {
    let mut scene = Scene::without_bus(SOURCES, SECRET).await;
    let answer = scene.post("shop", &[("Authorization", SECRET)], BODY).await;
    assert_eq!((answer.status, answer.head.contains("retry-after: 10")), (503, true), "{}", answer.body);
    assert_eq!(scene.send("GET", "/healthz", &[], b"").await.status, 503);
    // Who doesn't know the secret isn't told how the bus is.
    assert_eq!(scene.post("shop", &[], BODY).await.status, 401);

    scene.bus_comes().await;
    scene.until_open().await;
    assert_eq!(deliver(&scene).await, 202);
    assert_eq!(scene.requests().await.len(), 1);

    scene.bus_goes();
    assert_eq!(deliver(&scene).await, 503);
    scene.bus_comes().await;
    scene.until_open().await;
    // It was stored before the server was killed.
    assert_eq!(deliver(&scene).await, 202);
    assert_eq!(scene.requests().await.len(), 1);
    scene.stops().await;
}
