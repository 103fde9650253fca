//! What a Docker Engine sees of the registry that takes an image in.

use crate::client::{Client, OCI_INDEX, OCI_MANIFEST, REPOSITORY, at, blob, manifest, store};
use cutover_registry::PushRegistry;
use cutover_store::Digest;
use hyper::{Method, StatusCode};

const CONFIG: &[u8] = b"{}";
const LAYER: &[u8] = b"0123456789";

fn uploads() -> String {
    format!("/v2/{REPOSITORY}/blobs/uploads/")
}

#[tokio::test]
async fn an_image_is_taken_in_as_docker_sends_it() {
    let (_folder, store) = store().await;
    let registry = PushRegistry::new(store.clone(), REPOSITORY);
    let mut client = Client::of_push(&registry).await;
    for content in [CONFIG, LAYER] {
        let digest = Digest::of(content);
        assert_eq!(client.head(&blob(&digest)).await.status, StatusCode::NOT_FOUND);
        let begun = client.send(Method::POST, &uploads(), &[], b"").await;
        assert_eq!(begun.status, StatusCode::ACCEPTED);
        let piece = client.send(Method::PATCH, begun.header("location"), &[], content).await;
        assert_eq!(piece.status, StatusCode::ACCEPTED);
        assert_eq!(piece.header("range"), format!("0-{}", content.len() - 1));
        let complete = format!("{}?digest={}", piece.header("location"), digest.as_str().replace(':', "%3A"));
        let stored = client.send(Method::PUT, &complete, &[], b"").await;
        assert_eq!(stored.status, StatusCode::CREATED);
        assert_eq!(stored.header("docker-content-digest"), digest.as_str());
        let there = client.head(&blob(&digest)).await;
        assert_eq!(
            (there.status, there.header("content-length")),
            (StatusCode::OK, &*content.len().to_string())
        );
    }
    let text = manifest(OCI_MANIFEST, CONFIG, &[LAYER]);
    let put = client.send(Method::PUT, &at("v1"), &[("content-type", OCI_MANIFEST)], text.as_bytes()).await;
    let digest = Digest::of(text.as_bytes());
    assert_eq!(put.status, StatusCode::CREATED);
    assert_eq!(put.header("docker-content-digest"), digest.as_str());
    assert_eq!(registry.pushed("v1").await.as_ref(), Some(&digest));
    assert_eq!(registry.pushed("v2").await, None);
    assert_eq!(client.get(&at("v1")).await.body, text.as_bytes());
    assert_eq!(client.head(&at(&digest)).await.header("content-length"), text.len().to_string());
    assert_eq!(store.get_bytes(&digest, 10_000).await.unwrap(), text.as_bytes());
}

#[tokio::test]
async fn a_blob_may_come_at_once_or_be_known_already() {
    let (_folder, store) = store().await;
    let registry = PushRegistry::new(store.clone(), REPOSITORY);
    let mut client = Client::of_push(&registry).await;
    let digest = Digest::of(LAYER);

    let mount = format!("{}?mount={digest}&from=other/repository", uploads());
    assert_eq!(client.send(Method::POST, &mount, &[], b"").await.status, StatusCode::ACCEPTED);
    let at_once = format!("{}?digest={digest}", uploads());
    assert_eq!(client.send(Method::POST, &at_once, &[], LAYER).await.status, StatusCode::CREATED);
    assert_eq!(client.send(Method::POST, &mount, &[], b"").await.status, StatusCode::CREATED);

    let begun = client.send(Method::POST, &uploads(), &[], b"").await;
    let put = format!("{}?digest={}", begun.header("location"), Digest::of(CONFIG));
    assert_eq!(client.send(Method::PUT, &put, &[], CONFIG).await.status, StatusCode::CREATED);
    assert!(store.contains(&Digest::of(CONFIG)).await.unwrap());
}

#[tokio::test]
async fn an_upload_goes_on_over_another_connection() {
    let (_folder, store) = store().await;
    let registry = PushRegistry::new(store.clone(), REPOSITORY);
    let mut cut = Client::of_push(&registry).await;
    let begun = cut.send(Method::POST, &uploads(), &[], b"").await;
    let location = begun.header("location").to_owned();
    cut.send(Method::PATCH, &location, &[("content-range", "0-3")], &LAYER[..4]).await;
    drop(cut);

    let mut client = Client::of_push(&registry).await;
    let so_far = client.get(&location).await;
    assert_eq!((so_far.status, so_far.header("range")), (StatusCode::NO_CONTENT, "0-3"));
    let gap = client.send(Method::PATCH, &location, &[("content-range", "5-9")], &LAYER[5..]).await;
    assert_eq!((gap.status, gap.header("range")), (StatusCode::RANGE_NOT_SATISFIABLE, "0-3"));
    let rest = client.send(Method::PATCH, &location, &[("content-range", "4-9")], &LAYER[4..]).await;
    assert_eq!(rest.status, StatusCode::ACCEPTED);
    let complete = format!("{location}?digest={}", Digest::of(LAYER));
    assert_eq!(client.send(Method::PUT, &complete, &[], b"").await.status, StatusCode::CREATED);
    assert_eq!(client.get(&location).await.status, StatusCode::NOT_FOUND);
    assert_eq!(store.get_bytes(&Digest::of(LAYER), 100).await.unwrap(), LAYER);
}

#[tokio::test]
async fn content_that_is_not_what_it_claims_is_refused() {
    let (_folder, store) = store().await;
    let registry = PushRegistry::new(store.clone(), REPOSITORY);
    let mut client = Client::of_push(&registry).await;
    let lie = format!("{}?digest={}", uploads(), Digest::of(b"something else"));
    let refused = client.send(Method::POST, &lie, &[], LAYER).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.refused_with("DIGEST_INVALID"));

    let text = manifest(OCI_MANIFEST, CONFIG, &[LAYER]);
    let early = client.send(Method::PUT, &at("v1"), &[], text.as_bytes()).await;
    assert_eq!(early.status, StatusCode::NOT_FOUND);
    assert!(early.refused_with("MANIFEST_BLOB_UNKNOWN"));
    store.put_bytes(CONFIG).await.unwrap();
    store.put_bytes(LAYER).await.unwrap();
    let mislabelled =
        client.send(Method::PUT, &at("v1"), &[("content-type", OCI_INDEX)], text.as_bytes()).await;
    assert!(mislabelled.refused_with("MANIFEST_INVALID"));
    let misnamed = client.send(Method::PUT, &at(Digest::of(b"x")), &[], text.as_bytes()).await;
    assert!(misnamed.refused_with("DIGEST_INVALID"));
    let no_manifest = client.send(Method::PUT, &at("v1"), &[], b"[]").await;
    assert!(no_manifest.refused_with("MANIFEST_INVALID"));
    let huge = client.send(Method::PUT, &at("v1"), &[], &vec![b' '; 4 * 1024 * 1024 + 1]).await;
    assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(registry.pushed("v1").await, None);
}

#[tokio::test]
async fn whoever_pushes_can_read_no_blob() {
    let (_folder, store) = store().await;
    let secret = store.put_bytes(b"another application's layer").await.unwrap();
    let old = store.put_bytes(manifest(OCI_MANIFEST, CONFIG, &[]).as_bytes()).await.unwrap();
    let mut client = Client::of_push(&PushRegistry::new(store, REPOSITORY)).await;
    assert_eq!(client.get(&blob(&secret)).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(client.get(&at(&old)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        client.send(Method::POST, "/v2/other/app/blobs/uploads/", &[], b"").await.status,
        StatusCode::NOT_FOUND
    );
}
