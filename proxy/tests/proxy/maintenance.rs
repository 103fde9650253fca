//! A service that is away.

use std::time::{Duration, SystemTime};

use cutover_control::{Choice, HealthCheck, Maintenance, MaintenanceStatus, Request, ServiceKey, Switch};
use hyper::StatusCode;

use crate::application::Application;
use crate::caller::{key, switch};
use crate::client::{Client, get, get_once, read};
use crate::proxy::Proxy;

fn away() -> Maintenance {
    let page = Some("<h1>Soon</h1>".to_owned());
    Maintenance { key: key(), journal: Some("journal-1".to_owned()), page, until: None, choose: None }
}

async fn maintain(proxy: &Proxy, maintenance: Maintenance) {
    proxy.call(Request::Maintenance(Box::new(maintenance))).await.unwrap();
}

async fn end(proxy: &Proxy) {
    let request = Request::EndMaintenance { key: key(), journal: Some("journal-1".to_owned()) };
    proxy.call(request).await.unwrap();
}

#[tokio::test]
async fn new_requests_get_the_page_until_it_is_ended_also_over_a_restart() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    let health = Some(HealthCheck::new("/up", 10, 5_000));
    let watched = Switch { health, ..switch(1, &[app.target()]) };
    proxy.call(Request::Switch(Box::new(watched))).await.unwrap();
    maintain(&proxy, away()).await;
    let mut proxy = proxy;
    for _ in 0..2 {
        let response = Client::connect(proxy.address).await.send(get("/")).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        for (field, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("retry-after", "60"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(response.headers()[field], value);
        }
        assert_eq!(read(response).await.unwrap(), "<h1>Soon</h1>");
        assert_eq!(proxy.status().await.maintenance, Some(MaintenanceStatus { until: None }));
        proxy = proxy.restart().await;
    }
    // Its health goes on to be looked at.
    let before = app.requests();
    proxy.until(|_| app.requests() > before + 1).await;
    end(&proxy).await;
    end(&proxy).await;
    assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "app".to_owned()));
    let status = proxy.status().await;
    assert_eq!((status.maintenance, status.active.unwrap().proxy_errors), (None, 0));

    maintain(&proxy, Maintenance { page: None, ..away() }).await;
    let (status, text) = get_once(proxy.address, "a").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("maintenance"), "{text}");
}

#[tokio::test]
async fn it_ends_by_itself_at_the_time_that_was_said() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = |after: Duration| Some(u64::try_from((now + after).as_millis()).unwrap());
    maintain(&proxy, Maintenance { until: at(Duration::from_secs(3_000)), ..away() }).await;
    let response = Client::connect(proxy.address).await.send(get("/")).await.unwrap();
    let after: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((2_000..=3_001).contains(&after), "{after}");
    maintain(&proxy, Maintenance { until: at(Duration::from_millis(300)), ..away() }).await;
    proxy.until(|status| status.maintenance.is_none()).await;
    assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::OK);
}

#[tokio::test]
async fn those_who_may_pass_are_served() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let choose = Some(Choice::Cookie { name: "staff".to_owned(), value: "s3cret".to_owned() });
    maintain(&proxy, Maintenance { choose, ..away() }).await;
    let mut client = Client::connect(proxy.address).await;
    for (cookie, status) in [("staff=s3cret", StatusCode::OK), ("staff=x", StatusCode::SERVICE_UNAVAILABLE)] {
        let mut request = get("/");
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        assert_eq!(client.ask(request).await.unwrap().0, status, "{cookie}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_length_keep_no_predecessor_from_following() {
    let (old, mut asked, gate) = Application::patient("old").await;
    let new = Application::named("new").await;
    let proxy = Proxy::start().await;
    for name in ["one", "two"] {
        let key = ServiceKey::new("production", name);
        let mut other = switch(1, &[new.target()]);
        (other.key, other.route.hosts) = (key.clone(), vec![format!("{name}.example")]);
        proxy.call(Request::Switch(Box::new(other))).await.unwrap();
        maintain(&proxy, Maintenance { key, page: Some("x".repeat(900_000)), ..away() }).await;
    }
    proxy.switch(1, &[old.target()]).await;
    let address = proxy.address;
    let asking = tokio::spawn(async move { get_once(address, "a").await });
    asked.recv().await.unwrap();
    let successor = proxy.successor().await;
    successor.switch(2, &[new.target()]).await;
    // What the predecessor has in flight is known also after it was told all that.
    let (_, draining) = successor.retire(2, "d2").await.unwrap();
    assert_eq!(draining.len(), 1);
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), (StatusCode::OK, "old".to_owned()));
}

#[tokio::test]
async fn a_maintenance_that_is_over_already_is_refused() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let over = Request::Maintenance(Box::new(Maintenance { until: Some(1), ..away() }));
    assert!(proxy.call(over).await.unwrap_err().to_string().contains("clock"));
    assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::OK);
}
