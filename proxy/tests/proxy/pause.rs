//! A service whose new requests wait.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use cutover_control::{Pause, PauseStatus, Refusal, Request, ServiceStatus, Switch, Timeouts};
use hyper::StatusCode;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::application::{Application, text};
use crate::caller::{LIMIT, key, switch};
use crate::client::{Client, get, get_once};
use crate::proxy::Proxy;

pub(crate) fn pause(hold_ms: u64, max_waiting: u32) -> Request {
    Request::Pause(Pause { key: key(), journal: Some("journal-1".to_owned()), hold_ms, max_waiting })
}

pub(crate) fn resume() -> Request {
    Request::Resume { key: key(), journal: Some("journal-1".to_owned()) }
}

fn waits(status: &ServiceStatus, number: u64) -> bool {
    matches!(status.pause, Some(PauseStatus { waiting, .. }) if waiting == number)
}

/// Answers with the number of requests before.
async fn numbering() -> Application {
    let count = Arc::new(AtomicU64::new(0));
    Application::serve(move |_| {
        let number = count.fetch_add(1, SeqCst);
        async move { text(StatusCode::OK, number.to_string()) }
    })
    .await
}

/// A request of which it is known that it waits.
pub(crate) async fn waiting(proxy: &Proxy, number: u64) -> JoinHandle<(StatusCode, String)> {
    let address = proxy.address;
    let asking = tokio::spawn(async move { get_once(address, "a").await });
    proxy.until(|status| waits(status, number)).await;
    asking
}

#[tokio::test]
async fn those_that_wait_go_on_in_their_order_once_the_service_is_resumed() {
    let app = numbering().await;
    // Of several workers each sends what it has leased without a look at the others.
    let proxy = Proxy::start_with_options(|options| options.workers = NonZero::new(1)).await;
    proxy.switch(1, &[app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    proxy.call(pause(600_000, 100)).await.unwrap();
    let mut asking = Vec::new();
    for number in 1..=20 {
        asking.push(waiting(&proxy, number).await);
    }
    assert_eq!(app.requests(), 0);
    proxy.call(resume()).await.unwrap();
    for (number, asking) in asking.into_iter().enumerate() {
        assert_eq!(timeout(LIMIT, asking).await.unwrap().unwrap(), (StatusCode::OK, number.to_string()));
    }
    let status = proxy.status().await;
    assert_eq!((status.pause, status.active.unwrap().proxy_errors), (None, 0));
    assert_eq!(client.ask(get("/")).await.unwrap(), (StatusCode::OK, "20".to_owned()));
    proxy.call(resume()).await.unwrap();
}

#[tokio::test]
async fn too_many_and_too_long_are_refused_and_told_when_to_come_again() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    proxy.call(pause(600_000, 2)).await.unwrap();
    let asking = [waiting(&proxy, 1).await, waiting(&proxy, 2).await];
    let mut client = Client::connect(proxy.address).await;
    let refused = client.send(get("/")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=601).contains(&after), "{after}");
    let status = proxy.status().await.pause.unwrap();
    assert_eq!((status.waiting, status.refused), (2, 1));

    // The pause is renewed, but who comes now waits for its own time only.
    proxy.call(pause(100, 3)).await.unwrap();
    let late = tokio::spawn(async move { client.ask(get("/")).await.unwrap() });
    proxy.until(|status| waits(status, 3)).await;
    proxy.call(pause(600_000, 3)).await.unwrap();
    assert_eq!(timeout(LIMIT, late).await.unwrap().unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    proxy.call(resume()).await.unwrap();
    for asking in asking {
        assert_eq!(timeout(LIMIT, asking).await.unwrap().unwrap().0, StatusCode::OK);
    }
    assert_eq!(app.requests(), 2);
}

#[tokio::test]
async fn a_pause_ends_by_itself_without_one_failed_request() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    proxy.call(pause(300, 100)).await.unwrap();
    let address = proxy.address;
    let asking: Vec<_> = (0..8).map(|_| tokio::spawn(async move { get_once(address, "a").await })).collect();
    for asking in asking {
        assert_eq!(timeout(LIMIT, asking).await.unwrap().unwrap().0, StatusCode::OK);
    }
    proxy.until(|status| status.pause.is_none()).await;
    assert_eq!(get_once(address, "a").await.0, StatusCode::OK);
    // It can be paused again.
    proxy.call(pause(600_000, 100)).await.unwrap();
    let asking = waiting(&proxy, 1).await;
    proxy.call(resume()).await.unwrap();
    assert_eq!(asking.await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn those_that_wait_go_to_what_serves_when_they_go_on_and_who_hangs_up_waits_no_more() {
    let (old, new) = (Application::named("old").await, Application::named("new").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    proxy.call(pause(600_000, 100)).await.unwrap();
    let stays = waiting(&proxy, 1).await;
    let leaves = waiting(&proxy, 2).await;
    leaves.abort();
    proxy.until(|status| waits(status, 1)).await;
    proxy.switch(2, &[new.target()]).await;
    proxy.until(|status| waits(status, 1)).await;
    // Nobody waits for the old one: it may be stopped.
    assert!(proxy.retire(2, "d2").await.unwrap().1.is_empty());
    drop(old);
    proxy.call(resume()).await.unwrap();
    assert_eq!(stays.await.unwrap(), (StatusCode::OK, "new".to_owned()));
}

#[tokio::test]
async fn a_pause_goes_on_over_a_restart_which_turns_away_who_waits() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    proxy.call(pause(600_000, 100)).await.unwrap();
    let before = proxy.status().await.pause.unwrap().left_ms;
    let turned_away = waiting(&proxy, 1).await;
    let proxy = proxy.restart().await;
    assert_eq!(turned_away.await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
    let after = proxy.status().await.pause.unwrap();
    assert!(after.left_ms <= before, "{} > {before}", after.left_ms);
    let asking = waiting(&proxy, 1).await;
    proxy.call(resume()).await.unwrap();
    assert_eq!(asking.await.unwrap().0, StatusCode::OK);

    proxy.call(pause(1, 100)).await.unwrap();
    let proxy = proxy.restart().await;
    proxy.until(|status| status.pause.is_none()).await;
    assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_wait_at_a_proxy_that_has_handed_over_go_on_when_the_other_is_told() {
    let app = Application::named("app").await;
    let mut predecessor = Proxy::start().await;
    predecessor.switch(1, &[app.target()]).await;
    predecessor.call(pause(600_000, 100)).await.unwrap();
    let first = waiting(&predecessor, 1).await;
    let successor = predecessor.successor().await;
    let second = waiting(&successor, 2).await;
    successor.call(resume()).await.unwrap();
    for asking in [first, second] {
        assert_eq!(timeout(LIMIT, asking).await.unwrap().unwrap(), (StatusCode::OK, "app".to_owned()));
    }
    predecessor.ended().await;
    assert_eq!(app.requests(), 2);
}

#[tokio::test]
async fn only_the_journal_that_has_the_service_may_halt_it() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    assert_eq!(proxy.call(pause(1_000, 1)).await, Err(Refusal::UnknownService));
    proxy.switch(1, &[app.target()]).await;
    let other = Pause { key: key(), journal: Some("journal-2".to_owned()), hold_ms: 1_000, max_waiting: 1 };
    let foreign = Err(Refusal::ForeignJournal { journal: "journal-1".to_owned() });
    assert_eq!(proxy.call(Request::Pause(other.clone())).await, foreign);
    proxy.call(Request::Pause(Pause { journal: None, hold_ms: 600_000, ..other })).await.unwrap();
    assert!(proxy.status().await.pause.is_some());
}

#[tokio::test]
async fn the_wait_is_not_part_of_the_time_that_a_request_may_take() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    let timeouts = Timeouts { total_ms: 300, ..Timeouts::of_response(20_000) };
    let limited = Switch { timeouts, ..switch(1, &[app.target()]) };
    proxy.call(Request::Switch(Box::new(limited))).await.unwrap();
    proxy.call(pause(600_000, 100)).await.unwrap();
    let asking = waiting(&proxy, 1).await;
    sleep(Duration::from_millis(400)).await;
    proxy.call(resume()).await.unwrap();
    assert_eq!(timeout(LIMIT, asking).await.unwrap().unwrap(), (StatusCode::OK, "app".to_owned()));
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.requests, active.proxy_errors), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_at_a_proxy_that_has_handed_over_is_answered_before_its_time_is_over() {
    let app = Application::named("app").await;
    let mut proxy = Proxy::start_with_options(|options| options.end_limit = 3).await;
    proxy.switch(1, &[app.target()]).await;
    proxy.call(pause(600_000, 100)).await.unwrap();
    let asking = waiting(&proxy, 1).await;
    let successor = proxy.successor().await;
    let (status, text) = timeout(LIMIT, asking).await.unwrap().unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    proxy.ended().await;
    successor.call(resume()).await.unwrap();
    assert_eq!(get_once(successor.address, "a").await.0, StatusCode::OK);
}
