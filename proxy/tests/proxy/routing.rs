//! Which request goes where.

use cutover_control::{Refusal, Request, Route, ServiceKey, Switch};
use hyper::body::Incoming;
use hyper::{Method, StatusCode};

use crate::application::{Application, text};
use crate::caller::switch;
use crate::client::{Client, get_once, raw, request};
use crate::proxy::Proxy;

fn route(hosts: &[&str], prefixes: &[&str]) -> Route {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Route { hosts: texts(hosts), path_prefixes: texts(prefixes), strip_path_prefix: false }
}

/// A switch of a service of its own, whose application answers with the service's name.
fn service(name: &str, route: Route, app: &Application) -> Switch {
    Switch { key: ServiceKey::new("production", name), route, ..switch(1, &[app.target()]) }
}

async fn routed(proxy: &Proxy, services: &[(&'static str, Route)]) -> Vec<Application> {
    let mut apps = Vec::new();
    for (name, route) in services {
        let app = Application::named(name).await;
        proxy.call(Request::Switch(Box::new(service(name, route.clone(), &app)))).await.unwrap();
        apps.push(app);
    }
    apps
}

async fn get_path(proxy: &Proxy, host: &str, path: &str) -> (StatusCode, String) {
    let mut client = Client::connect(proxy.address).await;
    client.ask(request(Method::GET, host, path, "")).await.unwrap()
}

/// Answers with the target and the prefix that it was told.
async fn show_target(request: hyper::Request<Incoming>) -> hyper::Response<crate::application::Body> {
    let told: Vec<_> = request.headers().get_all("x-forwarded-prefix").iter().collect();
    text(StatusCode::OK, format!("{} {told:?}", request.uri()))
}

#[tokio::test]
async fn requests_go_by_their_host_and_else_to_the_default_service() {
    let (shop, other) = (Application::named("shop").await, Application::named("other").await);
    let proxy = Proxy::start().await;
    assert_eq!(get_once(proxy.address, "shop.example").await.0, StatusCode::NOT_FOUND);

    let mut by_host = switch(1, &[shop.target()]);
    by_host.key = ServiceKey::new("production", "shop");
    by_host.route = route(&["Shop.example"], &[]);
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

#[tokio::test]
async fn a_wildcard_takes_every_name_below_it_that_no_longer_one_takes() {
    let proxy = Proxy::start().await;
    let services = [
        ("default", route(&[], &[])),
        ("short", route(&["*.example"], &[])),
        ("long", route(&["*.Shop.example"], &[])),
        ("exact", route(&["www.shop.example"], &[])),
    ];
    let _apps = routed(&proxy, &services).await;
    for (host, serves) in [
        ("www.shop.example", "exact"),
        ("de.shop.example:8080", "long"),
        ("A.B.SHOP.example.", "long"),
        ("shop.example", "short"),
        ("example", "default"),
        ("shop.test", "default"),
    ] {
        assert_eq!(get_once(proxy.address, host).await, (StatusCode::OK, serves.to_owned()), "{host}");
    }
}

#[tokio::test]
async fn services_share_a_host_by_whole_segments_of_the_path() {
    let proxy = Proxy::start().await;
    let services = [
        ("api", route(&["a.example"], &["/api/", "/rpc"])),
        ("v2", route(&["a.example"], &["/api/v2"])),
        ("anywhere", route(&[], &["/anywhere"])),
    ];
    let _apps = routed(&proxy, &services).await;
    for (path, serves) in [
        ("/api", "api"),
        ("/api?x=/api/v2", "api"),
        ("/api/", "api"),
        ("/api/v1/x", "api"),
        ("/rpc/x", "api"),
        ("/api/v2", "v2"),
        ("/anywhere/x", "anywhere"),
    ] {
        assert_eq!(get_path(&proxy, "a.example", path).await, (StatusCode::OK, serves.to_owned()), "{path}");
    }
    for path in ["/", "/apiary", "/API", "//api", "/%61pi", "/api%2Fx"] {
        assert_eq!(get_path(&proxy, "a.example", path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get_path(&proxy, "b.example", "/api").await.0, StatusCode::NOT_FOUND);
    let proxy = proxy.restart().await;
    assert_eq!(get_path(&proxy, "a.example", "/api/v2/x").await.1, "v2");
}

#[tokio::test]
async fn a_prefix_is_stripped_where_that_is_asked_for_and_the_application_is_told() {
    let app = Application::serve(show_target).await;
    let proxy = Proxy::start().await;
    let stripped = Route { strip_path_prefix: true, ..route(&["a.example"], &["/", "/api", "/a/b"]) };
    let kept = route(&["b.example"], &["/api"]);
    for (name, route) in [("stripped", stripped), ("kept", kept)] {
        proxy.call(Request::Switch(Box::new(service(name, route, &app)))).await.unwrap();
    }
    let mut client = Client::connect(proxy.address).await;
    for (host, path, shown) in [
        ("a.example", "/api", r#"/ ["/api"]"#),
        ("a.example", "/api?a=%2Fapi&b", r#"/?a=%2Fapi&b ["/api"]"#),
        ("a.example", "/api/api/x?y", r#"/api/x?y ["/api"]"#),
        ("a.example", "/api//x", r#"//x ["/api"]"#),
        ("a.example", "/a/b/%2F", r#"/%2F ["/a/b"]"#),
        ("a.example", "/apiary", "/apiary []"),
        ("b.example", "/api/x?y", "/api/x?y []"),
    ] {
        let mut asked = request(Method::GET, host, path, "");
        asked.headers_mut().append("x-forwarded-prefix", "/forged".parse().unwrap());
        asked.headers_mut().append("x_forwarded_prefix", "/forged".parse().unwrap());
        assert_eq!(client.ask(asked).await.unwrap().1, shown, "{host}{path}");
    }
}

#[tokio::test]
async fn a_path_that_may_lead_out_of_its_prefix_is_never_passed_on() {
    let proxy = Proxy::start().await;
    let apps = routed(&proxy, &[("api", route(&[], &["/api"])), ("rest", route(&[], &[]))]).await;
    for path in ["/api/../admin", "/api/%2e%2E/admin", "/api/..%2fadmin", "/api/..;/admin", "/api/.."] {
        let asked = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = raw(proxy.address, &asked, None).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path} got {answer}");
    }
    assert_eq!((apps[0].requests(), apps[1].requests()), (0, 0));
    // Without a prefix there is nothing to lead out of.
    let asked = "GET /x/../api HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert!(raw(proxy.address, asked, None).await.ends_with("rest"));
}

#[tokio::test]
async fn a_host_and_a_prefix_belong_to_one_service_also_while_they_could_be_restored() {
    let app = Application::named("one").await;
    let proxy = Proxy::start().await;
    let mut first = service("first", route(&["*.example"], &["/api"]), &app);
    proxy.call(Request::Switch(Box::new(first.clone()))).await.unwrap();
    first.deployment = "d2".to_owned();
    first.route = route(&["*.example"], &["/v2"]);
    proxy.call(Request::Switch(Box::new(first))).await.unwrap();
    for prefix in ["/api", "/v2/"] {
        let second = service("second", route(&["a.example", "*.EXAMPLE"], &["/x", prefix]), &app);
        let refused = proxy.call(Request::Switch(Box::new(second))).await.unwrap_err();
        let told = "of *.example is routed to production/first on this proxy";
        assert!(refused.to_string().contains(told), "{prefix}: {refused}");
    }
    let beside = service("second", route(&["a.example", "*.example"], &["/api/v1", "/"]), &app);
    proxy.call(Request::Switch(Box::new(beside))).await.unwrap();
}
