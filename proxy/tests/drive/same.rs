//! What is the same with both: each function is a test of each.

use std::fs;

use cutover_control::{Refusal, Request, Route, ServiceKey, Switch};
use hyper::{Method, StatusCode};
use tokio::time::timeout;

use crate::application::{Application, nobody, target, text};
use crate::caller::{LIMIT, epoch, key, switch};
use crate::client::{Client, get_once, request};
use crate::load::Load;
use crate::peer::Kind;
use crate::proxy::Proxy;

pub(crate) async fn no_request_fails_while_targets_are_switched_and_stopped(kind: Kind, switches: u64) {
    let proxy = Proxy::start(kind).await;
    let mut serving = Application::named("app").await;
    proxy.switch(1, &[serving.target()]).await;
    let mut load = Load::start(proxy.address);
    load.more(100).await;
    for sequence in 2..2 + switches {
        let next = Application::named("app").await;
        proxy.switch(sequence, &[next.target()]).await;
        proxy.retire_drained(sequence, &format!("d{sequence}")).await;
        // Nothing is in flight on the old application: it may go at once, connections and all.
        serving = next;
        load.more(100).await;
    }
    load.end().await;
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.proxy_errors, active.server_errors), (0, 0));
    assert!(active.requests > 0);
    drop(serving);
}

pub(crate) async fn what_was_switched_is_in_force_when_it_is_answered(kind: Kind) {
    let proxy = Proxy::start(kind).await;
    let apps = [Application::named("one").await, Application::named("two").await];
    for sequence in 1..4 {
        let app = &apps[sequence as usize % 2];
        proxy.switch(sequence, &[app.target()]).await;
        let before = app.requests();
        for _ in 0..20 {
            get_once(proxy.address, "a").await;
        }
        assert_eq!(app.requests(), before + 20);
    }
}

pub(crate) async fn what_is_in_flight_ends_where_it_began_and_is_listed_until_then(kind: Kind) {
    let (old, mut asks, gate) = Application::patient("old").await;
    let new = Application::named("new").await;
    let mut proxy = Proxy::start(kind).await;
    proxy.switch(1, &[old.target()]).await;
    let address = proxy.address;
    let waiting = tokio::spawn(async move { get_once(address, "a").await });
    timeout(LIMIT, asks.recv()).await.unwrap();

    assert_eq!(proxy.switch(2, &[new.target()]).await.as_deref(), Some("d1"));
    assert_eq!(get_once(address, "a").await.1, "new");
    let (serving, draining) = proxy.retire(2, "d2").await.unwrap();
    assert_eq!(serving, [new.target()]);
    let listed = |draining: &[cutover_control::TargetStatus]| {
        draining.iter().map(|target| target.address).collect::<Vec<_>>() == [old.address]
    };
    assert!(listed(&draining), "{draining:?}");
    // Also by another process.
    proxy.restart(async || {}).await;
    assert!(listed(&proxy.retire(2, "d2").await.unwrap().1));
    assert_eq!(proxy.status().await.draining.len(), 1);

    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), (StatusCode::OK, "old".to_owned()));
    proxy.retire_drained(2, "d2").await;
}

pub(crate) async fn a_restore_brings_the_previous_targets_back_with_their_counters(kind: Kind) {
    let (good, bad) = (
        Application::named("good").await,
        Application::serve(|_| async { text(StatusCode::INTERNAL_SERVER_ERROR, "bad") }).await,
    );
    let proxy = Proxy::start(kind).await;
    proxy.switch(1, &[good.target()]).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "good");
    proxy.until(|status| status.active.as_ref().unwrap().requests == 1).await;
    proxy.switch(2, &[bad.target()]).await;
    for _ in 0..3 {
        assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let status = proxy.until(|status| status.active.as_ref().unwrap().requests == 3).await;
    let active = status.active.unwrap();
    assert_eq!((active.server_errors, active.proxy_errors, active.classes), (3, 0, [0, 0, 0, 0, 3]));
    assert_eq!(active.latency.iter().map(|(_, count)| count).sum::<u64>(), 3);
    assert_eq!(status.previous.unwrap().requests, 1);

    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    assert_eq!(get_once(proxy.address, "a").await.1, "good");
    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    let status = proxy.until(|status| status.active.as_ref().unwrap().requests == 2).await;
    assert_eq!(status.previous, None);
    let refused = proxy.switch_as(switch(2, &[bad.target()])).await;
    assert_eq!(refused, Err(Refusal::StaleEpoch { highest: epoch(3) }));
}

pub(crate) async fn an_application_that_is_not_there_is_an_error_of_its_deployment(kind: Kind) {
    let proxy = Proxy::start(kind).await;
    proxy.switch(1, &[target(nobody().await)]).await;
    assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::BAD_GATEWAY);
    let active = proxy.until(|status| status.active.as_ref().unwrap().requests == 1).await.active.unwrap();
    assert_eq!(active.server_errors + active.proxy_errors, 1);
    // Where another one is, it is asked.
    let app = Application::named("app").await;
    proxy.switch(2, &[target(nobody().await), app.target()]).await;
    for _ in 0..4 {
        assert_eq!(get_once(proxy.address, "a").await.1, "app");
    }
}

pub(crate) async fn fences_and_routes_outlive_the_driver_and_the_other_proxy_does_not_notice(kind: Kind) {
    let (one, two) = (Application::named("app").await, Application::named("app").await);
    let mut proxy = Proxy::start(kind).await;
    proxy.switch(5, &[one.target()]).await;
    proxy.switch(7, &[two.target()]).await;
    let written = config(&proxy);
    let mut load = Load::start(proxy.address);
    load.more(100).await;
    proxy.restart(async || load.more(100).await).await;
    load.more(100).await;
    assert_eq!(config(&proxy), written);
    load.end().await;
    let stale = Err(Refusal::StaleEpoch { highest: epoch(7) });
    assert_eq!(proxy.restore(6, "d7").await, stale);
    let foreign = Switch {
        epoch: cutover_control::Epoch { journal: "journal-2".to_owned(), sequence: 9 },
        ..switch(8, &[one.target()])
    };
    let refused = proxy.switch_as(foreign.clone()).await;
    assert_eq!(refused, Err(Refusal::ForeignJournal { journal: "journal-1".to_owned() }));
    proxy.call(Request::Adopt { key: key(), journal: "journal-2".to_owned() }).await.unwrap();
    assert_eq!(proxy.switch_as(foreign).await.unwrap().as_deref(), Some("d7"));
    assert!(proxy.status().await.active.unwrap().requests < 100);
}

pub(crate) async fn services_share_hosts_by_path_prefix(kind: Kind) {
    let echo = async |name: &'static str| {
        Application::serve(move |request| async move {
            let prefix = request.headers().get("x-forwarded-prefix").and_then(|value| value.to_str().ok());
            let prefix = prefix.unwrap_or_default().to_owned();
            text(StatusCode::OK, format!("{name} {} {prefix}", request.uri()))
        })
        .await
    };
    let (api, shop, rest) = (echo("api").await, echo("shop").await, echo("rest").await);
    let proxy = Proxy::start(kind).await;
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let routed = |service: &str, app: &Application, hosts: &[&str], prefixes: &[&str]| Switch {
        key: ServiceKey::new("production", service),
        route: Route {
            hosts: texts(hosts),
            path_prefixes: texts(prefixes),
            strip_path_prefix: service == "api",
        },
        ..switch(1, &[app.target()])
    };
    proxy.switch_as(routed("api", &api, &["a.example", "*.example"], &["/api"])).await.unwrap();
    proxy.switch_as(routed("shop", &shop, &["a.example"], &[])).await.unwrap();
    proxy.switch_as(routed("rest", &rest, &[], &["/", "/api/v2"])).await.unwrap();
    let mut client = Client::connect(proxy.address).await;
    for (host, path, answer) in [
        ("a.example", "/api/x?y=/api", "api /x?y=/api /api"),
        ("A.example:80", "/api", "api / /api"),
        ("a.example", "/api?q", "api /?q /api"),
        ("a.example", "/apiary", "shop /apiary "),
        ("a.example", "/", "shop / "),
        ("b.a.example", "/api/v2", "api /v2 /api"),
        ("b.example", "/x?y", "rest /x?y "),
        ("elsewhere", "/api/v2", "rest /api/v2 "),
        ("elsewhere", "/api", "rest /api "),
    ] {
        for method in [Method::GET, Method::POST] {
            let got = client.ask(request(method, host, path, "")).await.unwrap();
            assert_eq!(got, (StatusCode::OK, answer.to_owned()), "{host}{path}");
        }
    }
    let conflict = routed("other", &rest, &["a.example"], &["/api/"]);
    assert!(matches!(proxy.switch_as(conflict).await, Err(Refusal::Invalid { .. })));
}

pub(crate) async fn the_first_version_taken_back_leaves_503(kind: Kind) {
    let app = Application::named("app").await;
    let proxy = Proxy::start(kind).await;
    proxy.switch(1, &[app.target()]).await;
    assert_eq!(proxy.restore(2, "d1").await.unwrap(), None);
    assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::SERVICE_UNAVAILABLE);
    proxy.switch(3, &[app.target()]).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "app");
}

pub(crate) async fn another_proxy_that_is_not_there_is_told_once_it_is(kind: Kind) {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let mut proxy = Proxy::start(kind).await;
    proxy.switch(1, &[one.target()]).await;
    let written = config(&proxy);
    proxy.peer.end().await;
    let refused = proxy.switch_as(switch(2, &[two.target()])).await.unwrap_err();
    assert!(refused.retryable() && matches!(refused, Refusal::Unconfirmed { .. }), "{refused:?}");
    assert_eq!(config(&proxy), written);
    assert!(matches!(proxy.call(Request::Status).await, Err(Refusal::Unconfirmed { .. })));
    proxy.peer.start_again(proxy.folder.path()).await;
    assert_eq!(proxy.status().await.active.unwrap().deployment, "d1");
    assert_eq!(get_once(proxy.address, "a").await.1, "one");
    assert_eq!(proxy.switch(2, &[two.target()]).await.as_deref(), Some("d1"));
    assert_eq!(get_once(proxy.address, "a").await.1, "two");
}

pub(crate) async fn what_it_cannot_be_told_is_refused(kind: Kind) {
    let proxy = Proxy::start(kind).await;
    let refused = proxy.call(Request::Certificates).await;
    assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    let tls = cutover_control::TlsPolicy { redirect: true, hsts_seconds: 0 };
    let app = Application::named("app").await;
    let refused = proxy.switch_as(Switch { tls: Some(tls), ..switch(1, &[app.target()]) }).await;
    assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
}

/// What the file of ours says.
pub(crate) fn config(proxy: &Proxy) -> String {
    fs::read_to_string(proxy.config_path()).unwrap()
}
