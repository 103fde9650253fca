//! What a host sees of the registry that gives an image out.

use crate::client::{
    Client, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, REPOSITORY, at, blob, descriptor, manifest, store,
};
use cutover_registry::{Error, Image, Pace, Platform, PullRegistry};
use cutover_store::{Digest, Store};
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONFIG: &[u8] = b"{\"os\":\"linux\"}";
const LAYER: &[u8] = b"0123456789";

async fn put_image(store: &Store, media_type: &str, layers: &[&[u8]]) -> (Digest, String) {
    for content in layers.iter().copied().chain([CONFIG]) {
        store.put_bytes(content).await.unwrap();
    }
    let text = manifest(media_type, CONFIG, layers);
    (store.put_bytes(text.as_bytes()).await.unwrap(), text)
}

async fn registry(store: &Store, digest: &Digest) -> PullRegistry {
    let image = Image::read(store, digest, &Platform::linux("amd64")).await.unwrap();
    PullRegistry::new(store.clone(), REPOSITORY, image, Pace::default())
}

#[tokio::test]
async fn an_image_can_be_pulled_by_tag_and_by_digest() {
    for media_type in [OCI_MANIFEST, DOCKER_MANIFEST] {
        let (_folder, store) = store().await;
        let (digest, text) = put_image(&store, media_type, &[LAYER]).await;
        let registry = registry(&store, &digest).await;
        let mut client = Client::of_pull(&registry).await;

        let base = client.get("/v2/").await;
        assert_eq!(base.status, StatusCode::OK);
        assert_eq!(base.header("docker-distribution-api-version"), "registry/2.0");
        for path in [at("v1"), at(&digest)] {
            let head = client.head(&path).await;
            let get = client.get(&path).await;
            for answer in [&head, &get] {
                assert_eq!(answer.status, StatusCode::OK);
                assert_eq!(answer.header("content-type"), media_type);
                assert_eq!(answer.header("content-length"), text.len().to_string());
                assert_eq!(answer.header("docker-content-digest"), digest.as_str());
            }
            assert!(head.body.is_empty());
            assert_eq!(get.body, text.as_bytes());
        }
        for content in [CONFIG, LAYER] {
            let head = client.head(&blob(&Digest::of(content))).await;
            assert_eq!(head.header("content-length"), content.len().to_string());
            assert_eq!(client.get(&blob(&Digest::of(content))).await.body, content);
        }
    }
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_cut() {
    let (_folder, store) = store().await;
    let (digest, _) = put_image(&store, OCI_MANIFEST, &[LAYER]).await;
    let mut client = Client::of_pull(&registry(&store, &digest).await).await;
    let path = blob(&Digest::of(LAYER));

    let rest = client.send(Method::GET, &path, &[("range", "bytes=6-")], b"").await;
    assert_eq!(rest.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.header("content-range"), "bytes 6-9/10");
    assert_eq!(rest.body, &b"6789"[..]);

    let beyond = client.send(Method::GET, &path, &[("range", "bytes=10-")], b"").await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header("content-range"), "bytes */10");
}

#[tokio::test]
async fn nothing_but_the_image_can_be_had_and_nothing_changed() {
    let (_folder, store) = store().await;
    let (digest, _) = put_image(&store, OCI_MANIFEST, &[LAYER]).await;
    let (other, _) = put_image(&store, OCI_MANIFEST, &[b"another application's layer"]).await;
    let mut client = Client::of_pull(&registry(&store, &digest).await).await;

    let foreign_blob = client.get(&blob(&Digest::of(b"another application's layer"))).await;
    assert_eq!(foreign_blob.status, StatusCode::NOT_FOUND);
    assert!(foreign_blob.refused_with("BLOB_UNKNOWN"));
    let foreign_image = client.get(&at(&other)).await;
    assert_eq!(foreign_image.status, StatusCode::NOT_FOUND);
    assert!(foreign_image.refused_with("MANIFEST_UNKNOWN"));
    // A manifest is no blob and a layer is no manifest, though the store knows no difference.
    assert_eq!(client.get(&blob(&digest)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.get(&at(Digest::of(LAYER))).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.get("/v2/other/app/manifests/v1").await.status, StatusCode::NOT_FOUND);

    for (method, path) in [
        (Method::POST, format!("/v2/{REPOSITORY}/blobs/uploads/")),
        (Method::PUT, at("v1")),
        (Method::DELETE, at("v1")),
        (Method::DELETE, blob(&Digest::of(LAYER))),
    ] {
        assert_eq!(client.send(method, &path, &[], b"x").await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn an_index_gives_the_hosts_platform_and_no_other() {
    let (_folder, store) = store().await;
    let (amd64, amd64_text) = put_image(&store, OCI_MANIFEST, &[LAYER]).await;
    let (arm64, arm64_text) = put_image(&store, OCI_MANIFEST, &[b"arm64 layer"]).await;
    let entry = |text: &str, architecture: &str| {
        let platform = format!(r#","platform":{{"os":"linux","architecture":"{architecture}"}}}}"#);
        descriptor(OCI_MANIFEST, text.as_bytes()).replace('}', &platform)
    };
    let entries = [entry(&arm64_text, "arm64"), entry(&amd64_text, "amd64")].join(",");
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{entries}]}}"#);
    let index = store.put_bytes(index.as_bytes()).await.unwrap();

    let image = Image::read(&store, &index, &Platform::linux("amd64")).await.unwrap();
    assert_eq!((&image.digest, &image.manifest), (&index, &amd64));
    assert_eq!(image.config.digest, Digest::of(CONFIG));
    let mut client =
        Client::of_pull(&PullRegistry::new(store.clone(), REPOSITORY, image, Pace::default())).await;
    assert_eq!(client.get(&at("v1")).await.header("content-type"), OCI_INDEX);
    assert_eq!(client.get(&at(&amd64)).await.header("content-type"), OCI_MANIFEST);
    assert_eq!(client.get(&blob(&Digest::of(LAYER))).await.status, StatusCode::OK);
    assert_eq!(client.get(&at(&arm64)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.get(&blob(&Digest::of(b"arm64 layer"))).await.status, StatusCode::NOT_FOUND);

    let refused = Image::read(&store, &index, &Platform::linux("riscv64")).await.unwrap_err();
    assert!(matches!(&refused, Error::NoSuchPlatform { available, .. } if available.len() == 2));
    assert!(
        refused.to_string().ends_with("for linux/riscv64; it was built for linux/arm64, linux/amd64"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_image_without_one_of_its_layers_is_refused_before_a_host_asks() {
    let (_folder, store) = store().await;
    store.put_bytes(CONFIG).await.unwrap();
    let digest = store.put_bytes(manifest(OCI_MANIFEST, CONFIG, &[LAYER]).as_bytes()).await.unwrap();
    let refused = Image::read(&store, &digest, &Platform::linux("amd64")).await.unwrap_err();
    assert!(matches!(&refused, Error::Incomplete { part, .. } if *part == Digest::of(LAYER)));

    let text = store.put_bytes(b"no manifest").await.unwrap();
    let refused = Image::read(&store, &text, &Platform::linux("amd64")).await;
    assert!(matches!(refused, Err(Error::NotAnImage { .. })));
}

#[tokio::test]
async fn what_travels_is_counted() {
    let (_folder, store) = store().await;
    let layer = vec![1_u8; 300_000];
    let (digest, _) = put_image(&store, OCI_MANIFEST, &[&layer]).await;
    let registry = registry(&store, &digest).await;
    let mut client = Client::of_pull(&registry).await;
    client.head(&blob(&Digest::of(&layer))).await;
    assert_eq!(registry.traffic().promised, 0);
    client.get(&blob(&Digest::of(&layer))).await;
    let traffic = registry.traffic();
    assert_eq!(traffic.promised, 300_000);
    assert!((300_000..302_000).contains(&traffic.sent), "{traffic:?}");
    assert!((1..1_000).contains(&traffic.received), "{traffic:?}");
}

#[tokio::test]
async fn a_peer_that_tries_tls_is_answered_without_it() {
    let (_folder, store) = store().await;
    let (digest, _) = put_image(&store, OCI_MANIFEST, &[LAYER]).await;
    let registry = registry(&store, &digest).await;
    let (server, mut client) = crate::client::connection().await;
    client.write_all(&[0x16, 0x03, 0x01, 0x00, 0x05, 0x01]).await.unwrap();
    registry.serve_connection(server).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    // By the first five letters, a client knows that it is spoken to in HTTP.
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
