//! A share of the traffic for a deployment that is tried out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use cutover_control::{Canary, CanaryStatus, Choice, HealthCheck, Refusal, Request, ServiceStatus};
use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::application::{Application, nobody, target, text};
use crate::caller::{LIMIT, canary, epoch};
use crate::client::{Client, get, get_once, read};
use crate::proxy::Proxy;

fn of(status: ServiceStatus) -> CanaryStatus {
    status.canary.unwrap()
}

/// How many of so many requests the canary has answered.
async fn share(proxy: &Proxy, requests: u64) -> u64 {
    let mut client = Client::connect(proxy.address).await;
    let mut share = 0;
    for _ in 0..requests {
        let (status, name) = client.ask(get("/")).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        share += u64::from(name == "new");
    }
    share
}

/// Clients that ask without a pause and never may meet anything but one of the two.
struct Load {
    over: Arc<AtomicBool>,
    answered: [Arc<AtomicU64>; 2],
    clients: JoinSet<()>,
}

impl Load {
    fn start(proxy: &Proxy) -> Self {
        let (over, answered) =
            (Arc::new(AtomicBool::new(false)), [(); 2].map(|()| Arc::new(AtomicU64::new(0))));
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            let (address, over, answered) = (proxy.address, Arc::clone(&over), answered.clone());
            clients.spawn(async move {
                let mut client = Client::connect(address).await;
                while !over.load(Relaxed) {
                    let (status, name) = client.ask(get("/")).await.unwrap();
                    assert_eq!(status, StatusCode::OK);
                    answered[usize::from(name == "new")].fetch_add(1, Relaxed);
                }
            });
        }
        Self { over, answered, clients }
    }

    /// Until each has answered so many more.
    async fn until(&self, old: u64, new: u64) {
        let [by_old, by_new] = &self.answered;
        let wanted = [by_old.load(Relaxed) + old, by_new.load(Relaxed) + new];
        let moved = async {
            while self.answered.iter().zip(&wanted).any(|(by, wanted)| by.load(Relaxed) < *wanted) {
                sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, moved).await.unwrap();
    }

    async fn end(mut self) {
        self.over.store(true, Relaxed);
        while let Some(client) = timeout(LIMIT, self.clients.join_next()).await.unwrap() {
            client.unwrap();
        }
    }
}

/// A proxy with an old deployment that serves, and a new one.
async fn scene() -> (Proxy, Application, Application) {
    let (old, new) = (Application::named("old").await, Application::named("new").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    (proxy, old, new)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_gets_the_share_that_its_weight_says() {
    let (proxy, _old, new) = scene().await;
    for (weight, least, most) in [(0, 0, 0), (1_000, 500, 500)] {
        proxy.weigh(canary(2, weight, &[new.target()])).await;
        let share = share(&proxy, 500).await;
        assert!((least..=most).contains(&share), "{share} of 500 at {weight}");
    }
    proxy.weigh(canary(2, 300, &[new.target()])).await;
    // The mean is 900 and the deviation 25.1: within 7 of them but once in 3 * 10^11 times.
    let drawn = share(&proxy, 3_000).await;
    assert!(drawn.abs_diff(900) <= 175, "{drawn} of 3000");
    let status = proxy.status().await;
    let (active, canary) = (status.active.clone().unwrap(), of(status));
    assert_eq!(
        (canary.weight, canary.set.deployment.as_str(), canary.set.requests),
        (300, "d2", 500 + drawn)
    );
    assert_eq!(active.requests + canary.set.requests, 4_000);
    assert!((1..=600_000).contains(&canary.held_ms));
}

#[tokio::test]
async fn a_weight_that_is_not_renewed_is_over_by_itself() {
    let (proxy, _old, new) = scene().await;
    let choose = Some(Choice::Header { name: "x-try".to_owned(), value: "new".to_owned() });
    let held = Canary { choose, ..canary(2, 1_000, &[new.target()]) };
    proxy.weigh(held.clone()).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "new");
    proxy.weigh(Canary { hold_ms: 50, ..held.clone() }).await;
    let status = proxy.until(|status| status.canary.as_ref().unwrap().weight == 0).await;
    assert_eq!((of(status.clone()).held_ms, status.active.unwrap().deployment.as_str()), (0, "d1"));
    assert_eq!(get_once(proxy.address, "a").await.1, "old");
    let mut tester = Client::connect(proxy.address).await;
    let mut tries = get("/");
    tries.headers_mut().insert("x-try", "new".parse().unwrap());
    assert_eq!(tester.ask(tries.clone()).await.unwrap().1, "old");
    // Nobody may stop it: it may be renewed.
    assert_eq!(proxy.retire(2, "d1").await.unwrap().0.len(), 2);
    proxy.weigh(held).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "new");
    assert_eq!(tester.ask(tries).await.unwrap().1, "new");
}

#[tokio::test]
async fn a_canary_that_is_not_ready_gets_nothing_and_a_late_one_is_refused() {
    let (proxy, _old, new) = scene().await;
    let dead = target(nobody().await);
    let mut unready = canary(2, 1_000, &[new.target(), dead.clone()]);
    unready.switch.health = Some(HealthCheck::new("/up", 60_000, 5_000));
    let refused = proxy.call(Request::Canary(Box::new(unready))).await;
    assert!(
        matches!(&refused, Err(Refusal::Unready { replica, .. }) if *replica == dead.replica),
        "{refused:?}"
    );
    assert_eq!((proxy.status().await.canary, get_once(proxy.address, "a").await.1), (None, "old".to_owned()));

    proxy.weigh(canary(3, 0, &[new.target()])).await;
    let late = proxy.call(Request::Canary(Box::new(canary(2, 1_000, &[new.target()])))).await;
    assert_eq!(late, Err(Refusal::StaleEpoch { highest: epoch(3) }));
    assert_eq!(of(proxy.status().await).weight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_canary_is_promoted_and_the_old_one_stopped() {
    let (proxy, old, new) = scene().await;
    let load = Load::start(&proxy);
    proxy.weigh(canary(2, 300, &[new.target()])).await;
    load.until(50, 50).await;
    let before = of(proxy.status().await).set.requests;
    assert_eq!(proxy.switch(2, &[new.target()]).await.as_deref(), Some("d1"));
    let active = proxy.status().await.active.unwrap();
    assert!(active.deployment == "d2" && active.requests >= before, "{active:?}");
    proxy.retire_drained(2, "d2").await;
    drop(old);
    load.until(0, 200).await;
    load.end().await;
    let status = proxy.status().await;
    let active = status.active.unwrap();
    assert_eq!((status.canary, active.server_errors, active.proxy_errors, active.retries), (None, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_canary_is_taken_back_and_stopped() {
    let (proxy, _old, new) = scene().await;
    let load = Load::start(&proxy);
    proxy.weigh(canary(2, 500, &[new.target()])).await;
    load.until(50, 50).await;
    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    proxy.until(|status| status.canary.is_none() && status.draining.is_empty()).await;
    drop(new);
    load.until(200, 0).await;
    load.end().await;
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.proxy_errors, active.retries), (0, 0));
}

#[tokio::test]
async fn what_a_displaced_canary_has_in_flight_is_finished_and_listed() {
    let (new, mut asks, gate) = Application::patient("new").await;
    let (old, newest) = (Application::named("old").await, Application::named("newest").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    proxy.weigh(canary(2, 1_000, &[new.target()])).await;
    let address = proxy.address;
    let waiting = tokio::spawn(async move { get_once(address, "a").await });
    timeout(LIMIT, asks.recv()).await.unwrap();
    assert_eq!(of(proxy.status().await).set.targets[0].in_flight, 1);
    proxy.switch(3, &[newest.target()]).await;
    let (_, draining) = proxy.retire(3, "d3").await.unwrap();
    assert_eq!(draining.iter().map(|target| target.address).collect::<Vec<_>>(), [new.address]);
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), (StatusCode::OK, "new".to_owned()));
    proxy.until(|status| status.draining.is_empty()).await;
}

#[tokio::test]
async fn testers_choose_the_canary_whatever_its_weight() {
    let (proxy, _old, new) = scene().await;
    let mut client = Client::connect(proxy.address).await;
    for (choose, field, value) in [
        (Choice::Header { name: "X-Try".to_owned(), value: "new".to_owned() }, "x-try", "new"),
        (Choice::Cookie { name: "try".to_owned(), value: "new".to_owned() }, "cookie", "a=b; try=new"),
    ] {
        proxy.weigh(Canary { choose: Some(choose), ..canary(2, 0, &[new.target()]) }).await;
        let mut tries = get("/");
        tries.headers_mut().insert(field, value.parse().unwrap());
        for _ in 0..20 {
            assert_eq!(client.ask(tries.clone()).await.unwrap().1, "new");
            assert_eq!(client.ask(get("/")).await.unwrap().1, "old");
        }
    }
}

#[tokio::test]
async fn a_canary_that_cannot_be_reached_costs_nobody_an_answer_and_never_stands_in_for_what_serves() {
    let (proxy, old, new) = scene().await;
    // Both are asked alike: a canary of two has one to fall back on, and isn't asked again.
    proxy.weigh(canary(2, 1_000, &[target(nobody().await), target(nobody().await)])).await;
    assert_eq!(share(&proxy, 20).await, 0);
    let status = proxy.status().await;
    assert_eq!(status.active.clone().unwrap().requests, 20);
    let canary_set = of(status).set;
    assert_eq!((canary_set.requests, canary_set.retries), (0, 20));

    proxy.weigh(canary(3, 0, &[new.target()])).await;
    drop(old);
    for _ in 0..20 {
        assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(new.requests(), 0);
}

#[tokio::test]
async fn a_canary_that_is_down_gets_nothing() {
    let (proxy, _old, _) = scene().await;
    let healthy = Arc::new(AtomicBool::new(true));
    let up = Arc::clone(&healthy);
    let new = Application::serve(move |request| {
        let up = request.uri().path() != "/up" || up.load(Relaxed);
        async move { if up { text(StatusCode::OK, "new") } else { text(StatusCode::BAD_GATEWAY, "down") } }
    })
    .await;
    let mut watched = canary(2, 1_000, &[new.target()]);
    watched.switch.health = Some(HealthCheck::new("/up", 10, 5_000));
    proxy.weigh(watched).await;
    assert_eq!(share(&proxy, 10).await, 10);
    healthy.store(false, Relaxed);
    proxy.until(|status| !status.canary.as_ref().unwrap().set.targets[0].healthy).await;
    assert_eq!(share(&proxy, 10).await, 0);
}

#[tokio::test]
async fn the_hold_goes_on_over_a_restart_and_is_not_longer_for_it() {
    let (proxy, _old, new) = scene().await;
    proxy.weigh(canary(2, 1_000, &[new.target()])).await;
    let before = of(proxy.status().await).held_ms;
    let proxy = proxy.restart().await;
    let after = of(proxy.status().await);
    assert!(after.weight == 1_000 && after.held_ms <= before, "{after:?} {before}");
    assert_eq!(get_once(proxy.address, "a").await.1, "new");

    proxy.weigh(Canary { hold_ms: 1, ..canary(2, 1_000, &[new.target()]) }).await;
    proxy.until(|status| status.canary.as_ref().unwrap().weight == 0).await;
    let proxy = proxy.restart().await;
    assert_eq!(of(proxy.status().await).held_ms, 0);
    assert_eq!(get_once(proxy.address, "a").await.1, "old");
    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    assert_eq!(proxy.status().await.canary, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_goes_on_at_the_proxy_that_takes_over_with_what_is_in_flight() {
    let (new, mut asks, gate) = Application::patient("new").await;
    let old = Application::named("old").await;
    let mut predecessor = Proxy::start().await;
    predecessor.switch(1, &[old.target()]).await;
    predecessor.weigh(canary(2, 1_000, &[new.target()])).await;
    let mut busy = Client::connect(predecessor.address).await;
    let mut idle = Client::connect(predecessor.address).await;
    gate.add_permits(1);
    assert_eq!(idle.ask(get("/")).await.unwrap().1, "new");
    timeout(LIMIT, asks.recv()).await.unwrap();
    let answering = tokio::spawn(async move { busy.send(get("/")).await.unwrap() });
    timeout(LIMIT, asks.recv()).await.unwrap();

    let held = of(predecessor.status().await).held_ms;
    let successor = predecessor.successor().await;
    let canary = of(successor.status().await);
    assert_eq!((canary.weight, canary.set.requests, canary.set.targets[0].in_flight), (1_000, 1, 1));
    assert!(canary.held_ms <= held, "{} > {held}", canary.held_ms);
    assert_eq!(successor.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    // Also at the predecessor, which has this connection.
    let late = idle.send(get("/")).await.unwrap();
    assert_eq!(read(late).await.unwrap(), "old");
    let draining = successor.retire(3, "d1").await.unwrap().1;
    assert_eq!(draining.iter().map(|target| target.in_flight).collect::<Vec<_>>(), [1]);
    gate.add_permits(1);
    assert_eq!(read(answering.await.unwrap()).await.unwrap(), "new");
    predecessor.ended().await;
    assert_eq!(successor.retire(3, "d1").await.unwrap().1, []);
}
