//! Registries.

use crate::image;
use crate::scene::{SECRET, Scene};

const DISTRIBUTION: &[u8] = include_bytes!("../fixtures/registry/distribution.json");
const HARBOR: &[u8] = include_bytes!("../fixtures/registry/harbor.json");
const CLOUD_EVENT: &[u8] = include_bytes!("../fixtures/registry/harbor_cloudevent.json");
const SOURCES: &str = "sources:
  images: {kind: registry, secret: SECRET, service: shop, destination: staging, images: [shop/web], tags: ['v*']}
  others: {kind: registry, secret: SECRET, service: shop, destination: staging, images: ['other/*']}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_asked_for_once_it_has_its_tag() {
    let scene = Scene::start(SOURCES).await;
    let bearer = format!("Bearer {SECRET}");
    for (body, authorization) in [(DISTRIBUTION, bearer.as_str()), (HARBOR, SECRET), (CLOUD_EVENT, SECRET)] {
        assert_eq!(scene.post("images", &[], body).await.status, 401);
        assert_eq!(scene.post("images", &[("Authorization", "Bearer x")], body).await.status, 403);
        assert_eq!(scene.post("others", &[("Authorization", authorization)], body).await.status, 200);
        let answer = scene.post("images", &[("Authorization", authorization)], body).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let occasions: Vec<_> = scene.requests().await.into_iter().map(|request| request.occasion).collect();
    let harbor =
        image("shop/web", "954b378c375d852eb3c63ab88978f640b4348b01c1b3456a024a81536dafbbf4", "v1.2.0");
    let pushed =
        image("shop/web", "c3b3692957d439ac1928219a83fac91e7bf96c153725526874673ae1f2023f8d", "v1.2.0");
    assert_eq!(occasions, [pushed, harbor.clone(), harbor]);
}
