//! A share of the traffic, as far as another proxy gives one. What is the same with both.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use cutover_control::{Canary, CanaryStatus, Choice, HealthCheck, Refusal, ServiceStatus};
use hyper::{Method, StatusCode};
use tokio::time::{sleep, timeout};

use crate::application::{Application, nobody, target};
use crate::caller::{LIMIT, canary, epoch};
use crate::client::{Client, get_once, request};
use crate::load::Load;
use crate::peer::Kind;
use crate::proxy::Proxy;
use crate::same;

/// Another proxy with an old deployment that serves, and a new one.
async fn scene(kind: Kind) -> (Proxy, Application, Application) {
    let (old, new) = (Application::named("old").await, Application::named("new").await);
    let proxy = Proxy::start(kind).await;
    proxy.switch(1, &[old.target()]).await;
    (proxy, old, new)
}

fn of(status: ServiceStatus) -> CanaryStatus {
    status.canary.unwrap()
}

/// How many of so many requests the new deployment has answered, by turns those that may be sent again and others.
async fn share(proxy: &Proxy, requests: u64) -> u64 {
    let mut client = Client::connect(proxy.address).await;
    let mut share = 0;
    for number in 1..=requests {
        // nginx closes a connection after 1,000.
        if number % 500 == 0 {
            client = Client::connect(proxy.address).await;
        }
        let method = if number % 2 == 0 { Method::GET } else { Method::POST };
        let (status, name) = client.ask(request(method, "a", "/", "")).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        share += u64::from(name == "new");
    }
    share
}

pub(crate) async fn a_canary_gets_the_share_that_its_weight_says(kind: Kind) {
    let (proxy, _old, new) = scene(kind).await;
    for (weight, all) in [(0, 0), (1_000, 100)] {
        proxy.weigh(canary(2, weight, &[new.target()])).await;
        assert_eq!(share(&proxy, 100).await, all);
    }
    proxy.weigh(canary(2, 200, &[new.target()])).await;
    // The mean is 400 and the deviation 17.9 where it is drawn: within 6 of them but once in 5 * 10^8 times.
    let drawn = share(&proxy, 2_000).await;
    assert!(drawn.abs_diff(400) <= 120, "{drawn} of 2000");
    let wished = |status: &ServiceStatus| {
        let canary = status.canary.as_ref().unwrap();
        status.active.as_ref().unwrap().requests + canary.set.requests == 2_200
    };
    let status = of(proxy.until(wished).await);
    let set = &status.set;
    assert_eq!((status.weight, set.deployment.as_str(), set.requests), (200, "d2", 100 + drawn));
    assert!((1..=600_000).contains(&status.held_ms));
    // Promoted, with its counters.
    assert_eq!(proxy.switch(2, &[new.target()]).await.as_deref(), Some("d1"));
    assert_eq!(share(&proxy, 20).await, 20);
    let status = proxy.until(|status| status.active.as_ref().unwrap().requests == 120 + drawn).await;
    assert_eq!(status.canary, None);
}

pub(crate) async fn no_request_fails_while_a_canary_is_weighed_promoted_and_taken_back(kind: Kind) {
    let mut serving = Application::named("app").await;
    let proxy = Proxy::start(kind).await;
    proxy.switch(1, &[serving.target()]).await;
    let mut load = Load::start(proxy.address);
    for sequence in [2, 3] {
        let next = Application::named("app").await;
        for weight in [100, 500] {
            proxy.weigh(canary(sequence, weight, &[next.target()])).await;
            load.more(100).await;
        }
        assert!(next.requests() > 0);
        let deployment = format!("d{sequence}");
        if sequence == 2 {
            proxy.switch(sequence, &[next.target()]).await;
            proxy.retire_drained(sequence, &deployment).await;
            // Nothing is in flight on the old application: it may go at once, connections and all.
            serving = next;
        } else {
            assert_eq!(proxy.restore(4, &deployment).await.unwrap().as_deref(), Some("d2"));
            proxy.retire_drained(4, "d2").await;
            drop(next);
        }
        load.more(100).await;
    }
    load.end().await;
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.proxy_errors, active.server_errors), (0, 0));
    drop(serving);
}

pub(crate) async fn a_renewal_changes_nothing_at_the_other_proxy(kind: Kind) {
    let (proxy, _old, new) = scene(kind).await;
    proxy.weigh(canary(2, 500, &[new.target()])).await;
    let file = || fs::metadata(proxy.config_path()).unwrap().ino();
    // nginx's own words.
    let reloads = || {
        let log = fs::read_to_string(proxy.folder.path().join("error.log")).unwrap_or_default();
        log.matches("reconfiguring").count()
    };
    let before = (file(), reloads());
    for hold_ms in [500_000, 400_000] {
        proxy.weigh(Canary { hold_ms, ..canary(2, 500, &[new.target()]) }).await;
        assert!((1..=hold_ms).contains(&of(proxy.status().await).held_ms));
    }
    assert_eq!((file(), reloads()), before);
    proxy.weigh(canary(2, 501, &[new.target()])).await;
    assert_ne!(file(), before.0);
    assert_eq!(reloads() > before.1, kind == Kind::Nginx);
}

pub(crate) async fn a_canary_that_is_not_renewed_is_over_by_itself(kind: Kind) {
    let (proxy, _old, new) = scene(kind).await;
    proxy.weigh(canary(2, 1_000, &[new.target()])).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "new");
    proxy.weigh(Canary { hold_ms: 50, ..canary(2, 1_000, &[new.target()]) }).await;
    // Nobody calls meanwhile.
    let over = async {
        while get_once(proxy.address, "a").await.1 != "old" {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, over).await.expect("it never ended");
    let status = of(proxy.status().await);
    assert_eq!((status.weight, status.held_ms), (0, 0));
    // Nobody may stop it: it may be renewed.
    assert_eq!(proxy.retire(2, "d1").await.unwrap().0.len(), 2);
    proxy.weigh(canary(2, 1_000, &[new.target()])).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "new");
}

pub(crate) async fn the_hold_goes_on_over_a_restart_of_the_driver_and_is_not_longer_for_it(kind: Kind) {
    let (mut proxy, _old, new) = scene(kind).await;
    proxy.weigh(canary(2, 1_000, &[new.target()])).await;
    let before = of(proxy.status().await).held_ms;
    let address = proxy.address;
    proxy.restart(async || assert_eq!(get_once(address, "a").await.1, "new")).await;
    let after = of(proxy.status().await);
    assert!(after.weight == 1_000 && after.held_ms <= before, "{after:?} {before}");
    assert_eq!(get_once(address, "a").await.1, "new");

    let hold_ms = 200;
    proxy.weigh(Canary { hold_ms, ..canary(2, 1_000, &[new.target()]) }).await;
    proxy.restart(async || sleep(Duration::from_millis(hold_ms)).await).await;
    assert_eq!(get_once(address, "a").await.1, "old");
    assert_eq!(of(proxy.status().await).weight, 0);
    let late = proxy.weigh_as(canary(1, 1_000, &[new.target()])).await;
    assert_eq!(late, Err(Refusal::StaleEpoch { highest: epoch(2) }));
    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    assert_eq!(proxy.status().await.canary, None);
}

pub(crate) async fn what_a_canary_that_is_taken_back_has_in_flight_is_waited_for(kind: Kind) {
    let (new, mut asks, gate) = Application::patient("new").await;
    let old = Application::named("old").await;
    let proxy = Proxy::start(kind).await;
    proxy.switch(1, &[old.target()]).await;
    proxy.weigh(canary(2, 1_000, &[new.target()])).await;
    let address = proxy.address;
    let waiting = tokio::spawn(async move { get_once(address, "a").await });
    timeout(LIMIT, asks.recv()).await.unwrap();
    assert_eq!(of(proxy.status().await).set.targets[0].in_flight, 1);
    assert_eq!(proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    assert_eq!(get_once(address, "a").await.1, "old");
    let (serving, draining) = proxy.retire(3, "d1").await.unwrap();
    assert_eq!(serving, [old.target()]);
    assert_eq!(draining.iter().map(|target| target.address).collect::<Vec<_>>(), [new.address]);
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), (StatusCode::OK, "new".to_owned()));
    proxy.retire_drained(3, "d1").await;
}

pub(crate) async fn a_canary_that_is_not_ready_late_or_more_than_a_weight_is_refused(kind: Kind) {
    let (proxy, _old, new) = scene(kind).await;
    let written = same::config(&proxy);
    let dead = target(nobody().await);
    let mut unready = canary(2, 1_000, &[new.target(), dead.clone()]);
    unready.switch.health = Some(HealthCheck::new("/up", 60_000, 5_000));
    let refused = proxy.weigh_as(unready).await;
    assert!(
        matches!(&refused, Err(Refusal::Unready { replica, .. }) if *replica == dead.replica),
        "{refused:?}"
    );
    let one = canary(2, 1_000, &[new.target()]);
    let choose = Some(Choice::Header { name: "x-try".to_owned(), value: "new".to_owned() });
    for more in [
        Canary { sticky: true, ..one.clone() },
        Canary { choose, ..one.clone() },
        Canary { mirror: 1, ..one.clone() },
    ] {
        let refused = proxy.weigh_as(more).await;
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    }
    assert_eq!((proxy.status().await.canary, same::config(&proxy)), (None, written));
    proxy.weigh(canary(3, 0, &[new.target()])).await;
    assert_eq!(proxy.weigh_as(one).await, Err(Refusal::StaleEpoch { highest: epoch(3) }));
    assert_eq!(share(&proxy, 20).await, 0);
}
