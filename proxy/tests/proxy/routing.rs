//! Which request goes where.

use cutover_control::{Refusal, Request, Route, ServiceKey};
use hyper::StatusCode;

use crate::application::Application;
use crate::client::get_once;
use crate::proxy::{Proxy, switch};

#[tokio::test]
async fn requests_go_by_their_host_and_else_to_the_default_service() {
    let (shop, other) = (Application::named("shop").await, Application::named("other").await);
    let proxy = Proxy::start().await;
    assert_eq!(get_once(proxy.address, "shop.example").await.0, StatusCode::NOT_FOUND);

    let mut by_host = switch(1, &[shop.target()]);
    by_host.key = ServiceKey::new("production", "shop");
    by_host.route = Route { hosts: vec!["Shop.example".to_owned()] };
    proxy.call(Request::Switch(Box::new(by_host.clone()))).await.unwrap();
    assert_eq!(get_once(proxy.address, "shop.example").await.1, "shop");
    assert_eq!(get_once(proxy.address, "SHOP.example:8080").await.1, "shop");
    let (status, text) = get_once(proxy.address, "elsewhere.example").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("no service is routed"), "{text}");

    proxy.switch(1, &[other.target()]).await;
    assert_eq!(get_once(proxy.address, "elsewhere.example").await.1, "other");
    assert_eq!(get_once(proxy.address, "shop.example").await.1, "shop");

    by_host.key = ServiceKey::new("staging", "shop");
    let refused = proxy.call(Request::Switch(Box::new(by_host))).await;
    assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_service_with_nothing_to_serve_answers_503() {
    let app = Application::named("one").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    assert_eq!(proxy.restore(2, "d1").await, Ok(None));
    assert_eq!(get_once(proxy.address, "app.example").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(proxy.status().await.active, None);
    proxy.switch(3, &[app.target()]).await;
    assert_eq!(get_once(proxy.address, "app.example").await, (StatusCode::OK, "one".to_owned()));
}
