//! What Prometheus is told.

use hyper::{Method, StatusCode};

use crate::application::{Application, text};
use crate::client::{Client, get, get_once, request};
use crate::proxy::Proxy;

#[tokio::test]
async fn what_a_release_has_counted_does_not_fall_when_one_of_its_deployments_is_forgotten() {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let proxy = Proxy::start_answering().await;
    let same = |sequence, app: &Application| {
        let release = "same".to_owned();
        let switch = cutover_control::Switch { release, ..crate::caller::switch(sequence, &[app.target()]) };
        cutover_control::Request::Switch(Box::new(switch))
    };
    let counted = async || {
        let mut client = Client::connect(proxy.options.metrics.unwrap()).await;
        let asking = request(Method::GET, "prometheus", "/metrics", "");
        let (_, text) = client.ask(asking).await.unwrap();
        let line =
            text.lines().find(|line| line.starts_with("cutover_proxy_response_seconds_count")).unwrap();
        line.rsplit_once(' ').unwrap().1.to_owned()
    };
    proxy.call(same(1, &one)).await.unwrap();
    for _ in 0..3 {
        get_once(proxy.address, "a").await;
    }
    proxy.call(same(2, &two)).await.unwrap();
    get_once(proxy.address, "a").await;
    assert_eq!(counted().await, "4");
    proxy.retire(2, "d2").await.unwrap();
    proxy.until(|status| status.previous.is_none() && status.draining.is_empty()).await;
    assert_eq!(counted().await, "4");
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
    let scrape = async || {
        let mut client = Client::connect(address).await;
        client.ask(request(Method::GET, "prometheus", "/metrics", "")).await.unwrap()
    };
    let told = |text: &str, name: &str, label: &str| {
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(label));
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
    };
    let (status, text) = scrape().await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(told(&text, "cutover_proxy_responses_total", "class=\"2xx\""), Some(2.0), "{text}");
    assert_eq!(told(&text, "cutover_proxy_responses_total", "class=\"4xx\""), Some(1.0));
    assert_eq!(told(&text, "cutover_proxy_response_bytes_total", "version=\"r1\""), Some(30.0));
    assert_eq!(told(&text, "cutover_proxy_response_seconds_count", "service=\"app\""), Some(3.0));
    assert_eq!(told(&text, "cutover_proxy_target_healthy", "target="), Some(1.0));
    assert_eq!(get_once(address, "prometheus").await.0, StatusCode::NOT_FOUND);

    drop(client);
    let successor = proxy.successor().await;
    proxy.ended().await;
    get_once(successor.address, "a").await;
    let (_, text) = scrape().await;
    assert_eq!(told(&text, "cutover_proxy_response_seconds_count", "service=\"app\""), Some(4.0), "{text}");
}
