//! Requests that are also sent to a canary, whose answers nobody sees.

use std::sync::{Arc, Mutex};

use cutover_control::{Canary, Choice, MirrorStatus};
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use tokio::time::timeout;

use crate::application::{Application, nobody, target, text};
use crate::caller::{LIMIT, canary};
use crate::client::{Client, get, get_once, read, request};
use crate::proxy::Proxy;

fn mirrored(status: &cutover_control::ServiceStatus) -> MirrorStatus {
    status.canary.as_ref().unwrap().mirrored
}

#[tokio::test]
async fn what_is_safe_to_repeat_is_repeated_and_its_answer_seen_by_nobody() {
    let old = Application::named("old").await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let new = Application::serve(move |request| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let id = request.headers()["x-request-id"].to_str().unwrap().to_owned();
        heard.lock().unwrap().push((method, path, id));
        async move {
            request.into_body().collect().await.unwrap();
            text(StatusCode::INTERNAL_SERVER_ERROR, "new")
        }
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    proxy.weigh(Canary { mirror: 1_000, ..canary(2, 0, &[new.target()]) }).await;
    let mut client = Client::connect(proxy.address).await;
    for number in 0..10 {
        let mut asked = get(&format!("/{number}"));
        asked.headers_mut().insert("x-request-id", format!("id-{number}").parse().unwrap());
        assert_eq!(client.ask(asked).await.unwrap(), (StatusCode::OK, "old".to_owned()));
        proxy.until(|status| mirrored(status).requests == number + 1).await;
    }
    let head = client.send(request(Method::HEAD, "a", "/head", "")).await.unwrap();
    assert_eq!((head.status(), read(head).await.unwrap()), (StatusCode::OK, String::new()));
    for (method, body) in [(Method::POST, "x"), (Method::PUT, ""), (Method::DELETE, ""), (Method::GET, "x")] {
        assert_eq!(client.ask(request(method, "a", "/other", body)).await.unwrap().1, "old");
    }
    let status = proxy.until(|status| mirrored(status).requests == 11).await;
    assert_eq!(mirrored(&status), MirrorStatus { requests: 11, server_errors: 11, failures: 0, left_out: 0 });
    // Apart from what was really sent there.
    let canary = status.canary.unwrap().set;
    assert_eq!((canary.requests, canary.server_errors, status.active.unwrap().server_errors), (0, 0, 0));
    let seen = seen.lock().unwrap();
    let expected = (0..10).map(|number| (Method::GET, format!("/{number}"), format!("id-{number}")));
    assert_eq!(seen[..10], expected.collect::<Vec<_>>());
    assert_eq!(seen[10..].iter().map(|(_, path, _)| path.as_str()).collect::<Vec<_>>(), ["/head"]);
}

#[tokio::test]
async fn a_mirror_that_hangs_delays_nobody_and_takes_only_so_many() {
    let old = Application::named("old").await;
    let (new, mut asks, gate) = Application::patient("new").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    proxy.weigh(Canary { mirror: 1_000, ..canary(2, 0, &[new.target()]) }).await;
    let listening = tokio::spawn(async move { while asks.recv().await.is_some() {} });
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..100 {
        assert_eq!(client.ask(get("/")).await.unwrap(), (StatusCode::OK, "old".to_owned()));
    }
    let status = proxy.status().await;
    assert_eq!(mirrored(&status), MirrorStatus { left_out: 36, ..MirrorStatus::default() });
    assert_eq!(status.canary.unwrap().set.targets[0].in_flight, 64);
    assert_eq!(status.active.unwrap().requests, 100);
    gate.add_permits(64);
    let status = proxy.until(|status| mirrored(status).requests == 64).await;
    assert_eq!((mirrored(&status).failures, status.canary.unwrap().set.targets[0].in_flight), (0, 0));
    // There is room again.
    gate.add_permits(1);
    assert_eq!(client.ask(get("/")).await.unwrap().1, "old");
    proxy.until(|status| mirrored(status).requests == 65).await;
    listening.abort();
}

#[tokio::test]
async fn a_mirrored_request_is_in_flight_until_it_is_cut_and_a_failure_is_only_counted() {
    let old = Application::named("old").await;
    let (new, mut asks, _gate) = Application::patient("new").await;
    let proxy = Proxy::start().await;
    let mut quick = crate::caller::switch(1, &[old.target()]);
    quick.drain_ms = 50;
    proxy.call(cutover_control::Request::Switch(Box::new(quick))).await.unwrap();
    proxy.weigh(Canary { mirror: 1_000, ..canary(2, 0, &[new.target()]) }).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "old");
    timeout(LIMIT, asks.recv()).await.unwrap();
    proxy.weigh(Canary { mirror: 1_000, ..canary(3, 0, &[target(nobody().await)]) }).await;
    proxy.until(|status| status.draining.is_empty()).await;
    assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "old".to_owned()));
    proxy
        .until(|status| {
            mirrored(status) == MirrorStatus { requests: 1, failures: 1, ..MirrorStatus::default() }
        })
        .await;
}

#[tokio::test]
async fn a_mirrored_request_takes_one_of_the_connections_that_a_target_may_have() {
    let old = Application::named("old").await;
    let (new, mut asks, gate) = Application::patient("new").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    let tester = Choice::Header { name: "x-try".to_owned(), value: "new".to_owned() };
    let mut narrow = Canary { mirror: 1_000, choose: Some(tester), ..canary(2, 0, &[new.target()]) };
    narrow.switch.upstream.max_connections = Some(1);
    narrow.switch.timeouts.connect_ms = 500;
    proxy.weigh(narrow).await;
    let mut client = Client::connect(proxy.address).await;
    assert_eq!(client.ask(get("/")).await.unwrap().1, "old");
    timeout(LIMIT, asks.recv()).await.unwrap();
    // Neither another one nor a real one has a place beside it.
    assert_eq!(client.ask(get("/")).await.unwrap().1, "old");
    proxy.until(|status| mirrored(status).left_out == 1).await;
    let mut tries = get("/");
    tries.headers_mut().insert("x-try", "new".parse().unwrap());
    assert_eq!(client.ask(tries.clone()).await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(new.requests(), 1);
    gate.add_permits(2);
    proxy.until(|status| mirrored(status).requests == 1).await;
    assert_eq!(client.ask(tries).await.unwrap(), (StatusCode::OK, "new".to_owned()));
    assert_eq!(
        mirrored(&proxy.status().await),
        MirrorStatus { requests: 1, left_out: 1, ..MirrorStatus::default() }
    );
}
