//! What a sender may cost.

use crate::scene::{SECRET, Scene};

const SOURCES: &str = "sources:
  shop: {kind: registry, secret: SECRET, service: shop, destination: production, images: [shop/web], rate: 2}
limits: {body: 1k, connections: 2}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_whatever_it_says_of_itself() {
    let scene = Scene::start(SOURCES).await;
    let large = vec![b' '; 1025];
    let answer = scene.post("shop", &[("Authorization", SECRET)], &large).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    let chunk = format!("401\r\n{}\r\n0\r\n\r\n", " ".repeat(1025));
    let chunked = format!(
        "POST /hooks/shop HTTP/1.1\r\nhost: x\r\nauthorization: {SECRET}\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"
    );
    let answer = scene.say(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // One that is said to be that large, and never comes.
    let said = "POST /hooks/shop HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n";
    let answer = scene.say(said.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(scene.post("shop", &[("Authorization", SECRET)], &large[..1024]).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_sends_so_many_a_minute_and_whoever_lacks_its_secret_uses_up_none() {
    let scene = Scene::start(SOURCES).await;
    for _ in 0..5 {
        assert_eq!(scene.post("shop", &[("Authorization", "x")], b"{}").await.status, 403);
    }
    let body = include_bytes!("../fixtures/registry/harbor.json");
    for expected in [202, 202, 429] {
        let answer = scene.post("shop", &[("Authorization", SECRET)], body).await;
        assert_eq!(answer.status, expected, "{}", answer.body);
        assert_eq!(answer.head.contains("retry-after: 60"), expected == 429, "{}", answer.head);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_never_end_keep_nobody_from_being_heard_and_are_cut_off() {
    let scene = Scene::start(SOURCES).await;
    // As many as there may be: the next one waits until these are cut off.
    let slow = "POST /hooks/shop HTTP/1.1\r\nhost:";
    let (one, other, heard) = tokio::join!(scene.say(slow.as_bytes()), scene.say(slow.as_bytes()), async {
        scene.post("shop", &[], b"{}").await.status
    });
    assert_eq!(heard, 401);
    assert!(!one.contains(" 200 ") && !other.contains(" 200 "), "{one} {other}");
    let large = format!("POST /hooks/shop HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    let answer = scene.say(large.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_hooks_is_served() {
    let scene = Scene::start(SOURCES).await;
    for path in [
        "/",
        "/hooks",
        "/hooks/",
        "/hooks/other",
        "/hooks/shop/",
        "/hooks/../hooks/shop",
        "/hooks/sh%6fp",
        "/metrics",
    ] {
        assert_eq!(scene.send("POST", path, &[("Authorization", SECRET)], b"{}").await.status, 404, "{path}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = scene.send(method, "/hooks/shop", &[("Authorization", SECRET)], b"{}").await;
        assert_eq!((answer.status, answer.head.contains("allow: post")), (405, true), "{method}");
    }
}
