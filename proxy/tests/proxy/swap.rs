//! Switch, restore and retire under traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cutover_control::{Refusal, Request};
use hyper::{Method, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::application::{Application, text};
use crate::caller::{LIMIT, epoch, key, switch};
use crate::client::{Client, get, get_once, request};
use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_targets_are_switched_and_stopped() {
    let proxy = Arc::new(Proxy::start().await);
    let mut serving = Application::named("app").await;
    proxy.switch(1, &[serving.target()]).await;
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let (address, over, answered) = (proxy.address, Arc::clone(&over), Arc::clone(&answered));
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let method = if number % 2 == 0 { Method::GET } else { Method::POST };
            while !over.load(Relaxed) {
                let body = if number % 2 == 0 { "" } else { "some body" };
                let got = client.ask(request(method.clone(), "a", "/", body)).await.unwrap();
                assert_eq!(got, (StatusCode::OK, "app".to_owned()));
                answered.fetch_add(1, Relaxed);
            }
        });
    }
    for sequence in 2..22 {
        let before = answered.load(Relaxed);
        let next = Application::named("app").await;
        proxy.switch(sequence, &[next.target()]).await;
        let retired = async {
            while !proxy.retire(sequence, &format!("d{sequence}")).await.unwrap().1.is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, retired).await.unwrap();
        // Nothing is in flight on the old application: it may go at once, connections and all.
        serving = next;
        let moved = async {
            while answered.load(Relaxed) < before + 50 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, moved).await.unwrap();
    }
    over.store(true, Relaxed);
    while let Some(client) = timeout(LIMIT, clients.join_next()).await.unwrap() {
        client.unwrap();
    }
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.proxy_errors, active.server_errors), (0, 0));
    drop(serving);
}

#[tokio::test]
async fn what_is_in_flight_ends_where_it_began_and_is_listed_until_then() {
    let (old, mut asks, gate) = Application::patient("old").await;
    let new = Application::named("new").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    let address = proxy.address;
    let waiting = tokio::spawn(async move { get_once(address, "a").await });
    timeout(LIMIT, asks.recv()).await.unwrap();

    assert_eq!(proxy.switch(2, &[new.target()]).await.as_deref(), Some("d1"));
    assert_eq!(get_once(address, "a").await.1, "new");
    let (serving, draining) = proxy.retire(2, "d2").await.unwrap();
    assert_eq!(serving, [new.target()]);
    assert_eq!(
        draining.iter().map(|target| (target.address, target.in_flight)).collect::<Vec<_>>(),
        [(old.address, 1)]
    );
    assert_eq!(proxy.status().await.draining.len(), 1);

    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), (StatusCode::OK, "old".to_owned()));
    proxy.until(|status| status.draining.is_empty()).await;
    assert!(proxy.retire(2, "d2").await.unwrap().1.is_empty());
}

#[tokio::test]
async fn a_restore_brings_the_previous_targets_back_with_their_counters() {
    let (good, bad) = (
        Application::named("good").await,
        Application::serve(|_| async { text(StatusCode::INTERNAL_SERVER_ERROR, "bad") }).await,
    );
    let proxy = Proxy::start().await;
    proxy.switch(1, &[good.target()]).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "good");
    proxy.switch(2, &[bad.target()]).await;
    proxy.switch(2, &[bad.target()]).await;
    for _ in 0..3 {
        assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let status = proxy.status().await;
    let active = status.active.unwrap();
    assert_eq!((active.requests, active.server_errors, active.proxy_errors), (3, 3, 0));
    assert_eq!(active.latency.iter().map(|(_, count)| count).sum::<u64>(), 3);
    assert_eq!(status.previous.unwrap().requests, 1);

    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    assert_eq!(get_once(proxy.address, "a").await.1, "good");
    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    let status = proxy.status().await;
    assert_eq!((status.active.unwrap().requests, status.previous), (2, None));
}

#[tokio::test]
async fn fences_and_routes_outlive_the_process() {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let proxy = Proxy::start().await;
    proxy.switch(5, &[one.target()]).await;
    proxy.switch(7, &[two.target()]).await;
    let stale = Err(Refusal::StaleEpoch { highest: epoch(7) });
    assert_eq!(proxy.restore(6, "d7").await, stale);

    let proxy = proxy.restart().await;
    assert_eq!(get_once(proxy.address, "a").await.1, "two");
    assert_eq!(proxy.restore(6, "d7").await, stale);
    assert_eq!(proxy.retire(7, "d7").await.unwrap().0, [two.target()]);

    let mut foreign = switch(1, &[one.target()]);
    foreign.epoch.journal = "journal-2".to_owned();
    let refused = proxy.call(Request::Switch(Box::new(foreign.clone()))).await;
    assert_eq!(refused, Err(Refusal::ForeignJournal { journal: "journal-1".to_owned() }));
    proxy.call(Request::Adopt { key: key(), journal: "journal-2".to_owned() }).await.unwrap();
    let proxy = proxy.restart().await;
    proxy.call(Request::Switch(Box::new(foreign))).await.unwrap();
    assert_eq!(get_once(proxy.address, "a").await.1, "one");
    assert_eq!(
        proxy.restore(8, "d1").await,
        Err(Refusal::ForeignJournal { journal: "journal-2".to_owned() })
    );
}

#[tokio::test]
async fn a_restore_after_a_restart_still_knows_the_way_back() {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[one.target()]).await;
    proxy.switch(2, &[two.target()]).await;
    let proxy = proxy.restart().await;
    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    assert_eq!(get_once(proxy.address, "a").await.1, "one");
    let proxy = proxy.restart().await;
    assert_eq!(get_once(proxy.address, "a").await.1, "one");
}

#[tokio::test]
async fn the_drain_limit_cuts_and_a_restore_after_it_serves_again() {
    let (old, mut asks, gate) = Application::patient("old").await;
    let new = Application::named("new").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    let address = proxy.address;
    let waiting = tokio::spawn(async move { get_once(address, "a").await });
    timeout(LIMIT, asks.recv()).await.unwrap();
    let mut quick = switch(2, &[new.target()]);
    quick.drain_ms = 50;
    proxy.call(Request::Switch(Box::new(quick))).await.unwrap();
    assert_eq!(waiting.await.unwrap().0, StatusCode::GATEWAY_TIMEOUT);
    let status = proxy.until(|status| status.previous.as_ref().unwrap().targets[0].in_flight == 0).await;
    assert_eq!(status.previous.unwrap().proxy_errors, 1);

    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    gate.add_permits(1);
    assert_eq!(get_once(address, "a").await, (StatusCode::OK, "old".to_owned()));
}

#[tokio::test]
async fn a_restore_in_time_calls_the_cut_off() {
    let (old, mut asks, gate) = Application::patient("old").await;
    let new = Application::named("new").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    let waiting = tokio::spawn(async move { client.ask(get("/")).await.unwrap() });
    timeout(LIMIT, asks.recv()).await.unwrap();
    let mut quick = switch(2, &[new.target()]);
    quick.drain_ms = 300;
    proxy.call(Request::Switch(Box::new(quick))).await.unwrap();
    proxy.restore(3, "d2").await.unwrap();
    sleep(Duration::from_millis(500)).await;
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), (StatusCode::OK, "old".to_owned()));
}

#[tokio::test]
async fn new_targets_of_the_active_deployment_take_over_and_removed_ones_drain() {
    let (removed, mut asks, gate) = Application::patient("old").await;
    let (kept, added) = (Application::named("kept").await, Application::named("added").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[removed.target()]).await;
    let address = proxy.address;
    let waiting = tokio::spawn(async move { get_once(address, "a").await });
    timeout(LIMIT, asks.recv()).await.unwrap();
    assert_eq!(proxy.switch(1, &[kept.target(), added.target()]).await, None);
    let answers = [get_once(address, "a").await.1, get_once(address, "a").await.1];
    assert!(answers.contains(&"kept".to_owned()) && answers.contains(&"added".to_owned()), "{answers:?}");
    let status = proxy.status().await;
    assert_eq!(status.active.unwrap().requests, 2);
    assert_eq!(status.draining[0].targets[0].address, removed.address);
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().0, StatusCode::OK);
    let status = proxy.until(|status| status.draining.is_empty()).await;
    assert_eq!(status.active.unwrap().requests, 3);
}
