//! nginx, by a file and a reload.

use std::fs;
use std::time::Duration;

use cutover_control::{Canary, Refusal, Switch, Timeouts};
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::application::{Application, text};
use crate::caller::{LIMIT, canary, switch};
use crate::canary;
use crate::client::{Client, get_once, read_until, request};
use crate::peer::Kind::Nginx;
use crate::proxy::Proxy;
use crate::same;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_targets_are_switched_and_stopped() {
    same::no_request_fails_while_targets_are_switched_and_stopped(Nginx, 8).await;
}

#[tokio::test]
async fn what_was_switched_is_in_force_when_it_is_answered() {
    same::what_was_switched_is_in_force_when_it_is_answered(Nginx).await;
}

#[tokio::test]
async fn what_is_in_flight_ends_where_it_began_and_is_listed_until_then() {
    same::what_is_in_flight_ends_where_it_began_and_is_listed_until_then(Nginx).await;
}

#[tokio::test]
async fn a_restore_brings_the_previous_targets_back_with_their_counters() {
    same::a_restore_brings_the_previous_targets_back_with_their_counters(Nginx).await;
}

#[tokio::test]
async fn an_application_that_is_not_there_is_an_error_of_its_deployment() {
    same::an_application_that_is_not_there_is_an_error_of_its_deployment(Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_and_routes_outlive_the_driver_and_the_other_proxy_does_not_notice() {
    same::fences_and_routes_outlive_the_driver_and_the_other_proxy_does_not_notice(Nginx).await;
}

#[tokio::test]
async fn services_share_hosts_by_path_prefix() {
    same::services_share_hosts_by_path_prefix(Nginx).await;
}

#[tokio::test]
async fn the_first_version_taken_back_leaves_503() {
    same::the_first_version_taken_back_leaves_503(Nginx).await;
}

#[tokio::test]
async fn another_proxy_that_is_not_there_is_told_once_it_is() {
    same::another_proxy_that_is_not_there_is_told_once_it_is(Nginx).await;
}

#[tokio::test]
async fn what_it_cannot_be_told_is_refused() {
    same::what_it_cannot_be_told_is_refused(Nginx).await;
}

#[tokio::test]
async fn a_canary_gets_the_share_that_its_weight_says() {
    canary::a_canary_gets_the_share_that_its_weight_says(Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_a_canary_is_weighed_promoted_and_taken_back() {
    canary::no_request_fails_while_a_canary_is_weighed_promoted_and_taken_back(Nginx).await;
}

#[tokio::test]
async fn a_renewal_changes_nothing_at_the_other_proxy() {
    canary::a_renewal_changes_nothing_at_the_other_proxy(Nginx).await;
}

#[tokio::test]
async fn a_canary_that_is_not_renewed_is_over_by_itself() {
    canary::a_canary_that_is_not_renewed_is_over_by_itself(Nginx).await;
}

#[tokio::test]
async fn the_hold_goes_on_over_a_restart_of_the_driver_and_is_not_longer_for_it() {
    canary::the_hold_goes_on_over_a_restart_of_the_driver_and_is_not_longer_for_it(Nginx).await;
}

#[tokio::test]
async fn what_a_canary_that_is_taken_back_has_in_flight_is_waited_for() {
    canary::what_a_canary_that_is_taken_back_has_in_flight_is_waited_for(Nginx).await;
}

#[tokio::test]
async fn a_canary_that_is_not_ready_late_or_more_than_a_weight_is_refused() {
    canary::a_canary_that_is_not_ready_late_or_more_than_a_weight_is_refused(Nginx).await;
}

#[tokio::test]
async fn a_configuration_that_nginx_refuses_is_taken_back_with_its_words() {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let proxy = Proxy::start(Nginx).await;
    proxy.switch(1, &[one.target()]).await;
    let written = same::config(&proxy);
    // What an operator adds to each server.
    let extra = proxy.peer.drive().conf_dir.join("server");
    fs::create_dir(&extra).unwrap();
    fs::write(extra.join("wrong.conf"), "no_such_directive on;\n").unwrap();
    let refused = proxy.switch_as(switch(2, &[two.target()])).await.unwrap_err();
    assert!(matches!(refused, Refusal::Invalid { .. }), "{refused:?}");
    assert!(refused.to_string().contains("unknown directive \"no_such_directive\""), "{refused}");
    assert_eq!(same::config(&proxy), written);
    assert_eq!(get_once(proxy.address, "a").await.1, "one");
    assert_eq!(proxy.status().await.active.unwrap().deployment, "d1");
    fs::write(extra.join("wrong.conf"), "add_header X-Extra yes;\n").unwrap();
    assert_eq!(proxy.switch(2, &[two.target()]).await.as_deref(), Some("d1"));
    let mut client = Client::connect(proxy.address).await;
    let response = client.send(request(Method::GET, "a", "/", "")).await.unwrap();
    assert_eq!(response.headers()["x-extra"], "yes");
}

#[tokio::test]
async fn a_client_that_connected_before_a_switch_and_asks_after_it_is_answered() {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let proxy = Proxy::start(Nginx).await;
    proxy.switch(1, &[one.target()]).await;
    let mut early = TcpStream::connect(proxy.address).await.unwrap();
    // A worker has it once it is no longer in the queue of the socket, which is first in, first out.
    get_once(proxy.address, "a").await;
    get_once(proxy.address, "a").await;
    proxy.switch(2, &[two.target()]).await;
    assert_eq!(proxy.retire(2, "d2").await.unwrap().1[0].address, one.address);
    early.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_until(&mut early, Some("one")).await.starts_with("HTTP/1.1 200"));
    proxy.retire_drained(2, "d2").await;
}

#[tokio::test]
async fn an_upgraded_connection_outlives_a_switch_and_is_waited_for() {
    let app = Application::serve(|mut request| async move {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() {
                stream.write_all(&byte).await.unwrap();
            }
        });
        let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
        let headers = response.headers_mut();
        headers.insert("upgrade", "websocket".parse().unwrap());
        headers.insert("connection", "upgrade".parse().unwrap());
        response
    })
    .await;
    let proxy = Proxy::start(Nginx).await;
    // No answer may take as long as the silence on the connection.
    let quick = Switch { timeouts: Timeouts::of_response(200), ..switch(1, &[app.target()]) };
    proxy.switch_as(quick).await.unwrap();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    assert!(read_until(&mut stream, Some("\r\n\r\n")).await.starts_with("HTTP/1.1 101"));
    let next = Application::named("next").await;
    proxy.switch(2, &[next.target()]).await;
    sleep(Duration::from_millis(500)).await;
    stream.write_all(b"x").await.unwrap();
    let mut byte = [0];
    timeout(LIMIT, stream.read_exact(&mut byte)).await.unwrap().unwrap();
    assert_eq!(&byte, b"x");
    assert_eq!(proxy.retire(2, "d2").await.unwrap().1.len(), 1);
    drop(stream);
    proxy.retire_drained(2, "d2").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_and_a_path_that_climbs_are_refused() {
    let app = Application::named("app").await;
    let proxy = Proxy::start(Nginx).await;
    let mut limited = Switch { max_request_body: Some(4), ..switch(1, &[app.target()]) };
    limited.route.path_prefixes = vec!["/a.b".to_owned()];
    limited.route.strip_path_prefix = true;
    proxy.switch_as(limited.clone()).await.unwrap();
    let ask = async |path: &'static str, body: &'static str| {
        let mut client = Client::connect(proxy.address).await;
        client.ask(request(Method::POST, "a", path, body)).await.unwrap().0
    };
    assert_eq!(ask("/a.b/x", "four").await, StatusCode::OK);
    assert_eq!(ask("/a.b/x", "fives").await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(ask("/axb/x", "").await, StatusCode::NOT_FOUND);
    assert_eq!(ask("/%61.b/x", "").await, StatusCode::NOT_FOUND);
    assert_eq!(ask("/a.b/x/..%2fy", "").await, StatusCode::BAD_REQUEST);
    assert_eq!(ask("/a.b/x/../y", "").await, StatusCode::BAD_REQUEST);
    limited.route.path_prefixes = vec!["/a%20b".to_owned()];
    assert!(matches!(proxy.switch_as(limited).await, Err(Refusal::Invalid { .. })));
}

#[tokio::test]
async fn a_canary_gets_streams_and_stripped_paths_and_has_limits_of_its_own() {
    let echo = async |name: &'static str| {
        Application::serve(move |request| async move {
            text(StatusCode::OK, format!("{name} {}", request.uri().path()))
        })
        .await
    };
    let (old, new) = (echo("old").await, echo("new").await);
    let proxy = Proxy::start(Nginx).await;
    let limited = |sequence, app: &Application, limit| {
        let mut limited = Switch { max_request_body: limit, ..switch(sequence, &[app.target()]) };
        limited.route.path_prefixes = vec!["/a".to_owned()];
        limited.route.strip_path_prefix = true;
        limited
    };
    proxy.switch_as(limited(1, &old, Some(4))).await.unwrap();
    let ask = async |accept: &'static str, body: &'static str| {
        let mut asking = request(Method::POST, "a", "/a/x", body);
        asking.headers_mut().insert("accept", accept.parse().unwrap());
        Client::connect(proxy.address).await.ask(asking).await.unwrap()
    };
    let got = |name: &str| (StatusCode::OK, format!("{name} /x"));
    assert_eq!(ask("text/html", "fives").await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let weighed = Canary { switch: limited(2, &new, None), ..canary(2, 1_000, &[]) };
    proxy.weigh(weighed.clone()).await;
    for accept in ["text/html", "text/event-stream"] {
        assert_eq!(ask(accept, "fives").await, got("new"), "{accept}");
    }
    proxy.weigh(Canary { weight: 0, ..weighed }).await;
    for accept in ["text/html", "text/event-stream"] {
        assert_eq!(ask(accept, "four").await, got("old"), "{accept}");
        assert_eq!(ask(accept, "fives").await.0, StatusCode::PAYLOAD_TOO_LARGE, "{accept}");
    }
}
