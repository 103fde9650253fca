//! What Prometheus is told.

use std::net::SocketAddr;

use cutover_control::{Canary, Request, ServiceStatus, TargetStatus};
use hyper::{Method, StatusCode};
use tokio::time::timeout;

use crate::application::{Application, text};
use crate::caller::{LIMIT, canary};
use crate::client::{Client, get, get_once, raw, request};
use crate::pause::{pause, resume, waiting};
use crate::proxy::Proxy;

/// What Prometheus is told at an address.
async fn scrape(address: SocketAddr) -> String {
    let mut client = Client::connect(address).await;
    let (status, text) = client.ask(request(Method::GET, "prometheus", "/metrics", "")).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    text
}

/// The same once a series has a value: a client may have an answer a moment before that is counted.
async fn scrape_until(address: SocketAddr, name: &str, label: &str, value: f64) -> String {
    let scraped = async {
        loop {
            let text = scrape(address).await;
            if told(&text, name, label) == Some(value) {
                break text;
            }
        }
    };
    timeout(LIMIT, scraped).await.unwrap_or_else(|_| panic!("{name} is never {value}"))
}

/// The value of a series; none: it isn't there.
fn told(text: &str, name: &str, label: &str) -> Option<f64> {
    let of = |line: &&str| line.split(['{', ' ']).next() == Some(name) && line.contains(label);
    text.lines().find(of).and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
}

#[tokio::test]
async fn what_a_release_has_counted_does_not_fall_when_one_of_its_deployments_is_forgotten() {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let proxy = Proxy::start_answering().await;
    let same = |sequence, app: &Application| {
        let release = "same".to_owned();
        let switch = cutover_control::Switch { release, ..crate::caller::switch(sequence, &[app.target()]) };
        Request::Switch(Box::new(switch))
    };
    let counted = async || {
        let text = scrape(proxy.options.metrics.unwrap()).await;
        told(&text, "cutover_proxy_response_seconds_count", "")
    };
    proxy.call(same(1, &one)).await.unwrap();
    for _ in 0..3 {
        get_once(proxy.address, "a").await;
    }
    proxy.call(same(2, &two)).await.unwrap();
    get_once(proxy.address, "a").await;
    assert_eq!(counted().await, Some(4.0));
    proxy.retire(2, "d2").await.unwrap();
    proxy.until(|status| status.previous.is_none() && status.draining.is_empty()).await;
    assert_eq!(counted().await, Some(4.0));
    let successor = proxy.successor().await;
    assert_eq!(successor.status().await.forgotten[0].requests, 3);
}

#[tokio::test]
async fn requests_are_told_by_version_and_class_and_a_successor_goes_on() {
    let app = Application::serve(|request| async move {
        let status = if request.uri().path() == "/missing" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        text(status, "0123456789")
    })
    .await;
    let mut proxy = Proxy::start_answering().await;
    let address = proxy.options.metrics.unwrap();
    proxy.switch(1, &[app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    for path in ["/", "/", "/missing"] {
        client.ask(get(path)).await.unwrap();
    }
    let text = scrape_until(address, "cutover_proxy_response_bytes_total", "version=\"r1\"", 30.0).await;
    assert_eq!(told(&text, "cutover_proxy_responses_total", "class=\"2xx\""), Some(2.0), "{text}");
    assert_eq!(told(&text, "cutover_proxy_responses_total", "class=\"4xx\""), Some(1.0));
    assert_eq!(told(&text, "cutover_proxy_response_seconds_count", "service=\"app\""), Some(3.0));
    assert_eq!(told(&text, "cutover_proxy_target_healthy", "target="), Some(1.0));
    assert_eq!(get_once(address, "prometheus").await.0, StatusCode::NOT_FOUND);

    drop(client);
    let successor = proxy.successor().await;
    proxy.ended().await;
    get_once(successor.address, "a").await;
    scrape_until(address, "cutover_proxy_response_seconds_count", "service=\"app\"", 4.0).await;
}

#[tokio::test]
async fn the_bodies_of_requests_are_counted_by_version_and_a_successor_goes_on() {
    let app = Application::named("app").await;
    let mut proxy = Proxy::start_answering().await;
    let address = proxy.options.metrics.unwrap();
    proxy.switch(1, &[app.target()]).await;
    let received =
        async || told(&scrape(address).await, "cutover_proxy_request_bytes_total", "version=\"r1\"");
    assert_eq!(received().await, Some(0.0));
    let chunks =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert!(raw(proxy.address, chunks, Some("app")).await.starts_with("HTTP/1.1 200 "));
    let mut client = Client::connect(proxy.address).await;
    for (method, body) in [(Method::GET, ""), (Method::PUT, "0123456789"), (Method::GET, "")] {
        client.ask(request(method, "a", "/", body)).await.unwrap();
    }
    assert_eq!(received().await, Some(15.0));

    drop(client);
    let successor = proxy.successor().await;
    proxy.ended().await;
    let mut client = Client::connect(successor.address).await;
    client.ask(request(Method::POST, "a", "/", "more")).await.unwrap();
    assert_eq!(received().await, Some(19.0));
}

#[tokio::test]
async fn mirrored_requests_are_told_by_how_they_ended_and_a_successor_goes_on() {
    let old = Application::named("old").await;
    let new = Application::serve(|request| async move {
        let broken = request.uri().path() == "/broken";
        text(if broken { StatusCode::BAD_GATEWAY } else { StatusCode::OK }, "new")
    })
    .await;
    let mut proxy = Proxy::start_answering().await;
    let address = proxy.options.metrics.unwrap();
    proxy.switch(1, &[old.target()]).await;
    proxy.weigh(Canary { mirror: 1_000, ..canary(2, 0, &[new.target()]) }).await;
    let mut client = Client::connect(proxy.address).await;
    for path in ["/", "/", "/broken"] {
        client.ask(get(path)).await.unwrap();
    }
    let ended = |status: &ServiceStatus, count| status.canary.as_ref().unwrap().mirrored.requests == count;
    proxy.until(|status| ended(status, 3)).await;
    let mirrored = |text: &str| {
        ["answered", "server_error", "failed", "left_out"].map(|result| {
            told(text, "cutover_proxy_mirrored_requests_total", &format!("result=\"{result}\""))
        })
    };
    assert_eq!(mirrored(&scrape(address).await), [2.0, 1.0, 0.0, 0.0].map(Some));

    drop((client, new));
    let successor = proxy.successor().await;
    proxy.ended().await;
    assert_eq!(get_once(successor.address, "a").await.1, "old");
    successor.until(|status| ended(status, 4)).await;
    assert_eq!(mirrored(&scrape(address).await), [2.0, 1.0, 1.0, 0.0].map(Some));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_at_a_take_over_is_told_of_both_proxies_until_it_has_ended() {
    let (old, mut old_asks, old_gate) = Application::patient("old").await;
    let (new, mut new_asks, new_gate) = Application::patient("new").await;
    let newest = Application::named("newest").await;
    let mut predecessor = Proxy::start_answering().await;
    let address = predecessor.options.metrics.unwrap();
    let ask = |proxy: &Proxy| {
        let address = proxy.address;
        tokio::spawn(async move { get_once(address, "a").await })
    };
    predecessor.switch(1, &[old.target()]).await;
    let mut asking = vec![ask(&predecessor)];
    timeout(LIMIT, old_asks.recv()).await.unwrap();
    predecessor.switch(2, &[new.target()]).await;
    predecessor.retire(2, "d2").await.unwrap();
    asking.push(ask(&predecessor));
    timeout(LIMIT, new_asks.recv()).await.unwrap();

    let successor = predecessor.successor().await;
    asking.push(ask(&successor));
    timeout(LIMIT, new_asks.recv()).await.unwrap();
    let in_flight = |text: &str, version: &str| {
        let series = text.lines().filter(|line| line.starts_with("cutover_proxy_in_flight{"));
        let of_version = series.filter(|line| line.contains(&format!("version=\"{version}\"")));
        of_version.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum::<f64>()
    };
    let text = scrape(address).await;
    assert_eq!((in_flight(&text, "r1"), in_flight(&text, "r2")), (1.0, 2.0), "{text}");

    // Displaced at both.
    successor.switch(3, &[newest.target()]).await;
    let listed = |targets: &[TargetStatus], app: &Application| {
        let of_app = targets.iter().filter(|target| target.address == app.address);
        of_app.map(|target| target.in_flight).sum::<u64>()
    };
    let (_, draining) = successor.retire(3, "d3").await.unwrap();
    assert_eq!((listed(&draining, &old), listed(&draining, &new)), (1, 2), "{draining:?}");
    let draining: Vec<_> =
        successor.status().await.draining.into_iter().flat_map(|set| set.targets).collect();
    assert_eq!((listed(&draining, &old), listed(&draining, &new)), (1, 2), "{draining:?}");
    let text = scrape(address).await;
    assert_eq!((in_flight(&text, "r1"), in_flight(&text, "r2")), (1.0, 2.0), "{text}");

    old_gate.add_permits(1);
    new_gate.add_permits(2);
    for (asking, name) in asking.into_iter().zip(["old", "new", "new"]) {
        assert_eq!(timeout(LIMIT, asking).await.unwrap().unwrap(), (StatusCode::OK, name.to_owned()));
    }
    predecessor.ended().await;
    successor.until(|status| status.draining.is_empty()).await;
    assert_eq!(successor.retire(3, "d3").await.unwrap().1, []);
    let text = scrape(address).await;
    assert_eq!((in_flight(&text, "r1"), in_flight(&text, "r2")), (0.0, 0.0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_as_a_service_is_paused_is_told_of_both_proxies_at_a_take_over() {
    let app = Application::named("app").await;
    let mut predecessor = Proxy::start_answering().await;
    let address = predecessor.options.metrics.unwrap();
    predecessor.switch(1, &[app.target()]).await;
    let told = async || told(&scrape(address).await, "cutover_proxy_waiting_requests", "service=\"app\"");
    assert_eq!(told().await, Some(0.0));
    predecessor.call(pause(600_000, 10)).await.unwrap();
    let first = waiting(&predecessor, 1).await;
    assert_eq!(told().await, Some(1.0));
    let successor = predecessor.successor().await;
    let second = waiting(&successor, 2).await;
    assert_eq!(told().await, Some(2.0));
    successor.call(resume()).await.unwrap();
    for asking in [first, second] {
        assert_eq!(timeout(LIMIT, asking).await.unwrap().unwrap(), (StatusCode::OK, "app".to_owned()));
    }
    assert_eq!(told().await, Some(0.0));
    predecessor.ended().await;
}
