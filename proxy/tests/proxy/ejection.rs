//! Targets whose requests fail, whatever their health checks say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cutover_control::{Ejection, HealthCheck, Request, ServiceStatus, Switch, Upstream};
use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::application::{Application, target};
use crate::caller::{LIMIT, switch};
use crate::client::get_once;
use crate::proxy::Proxy;

/// An application that closes the connections of all requests but health checks, unless it is well.
struct Broken {
    address: SocketAddr,
    well: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    _serving: AbortOnDropHandle<()>,
}

impl Broken {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (well, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (healed, counted) = (Arc::clone(&well), Arc::clone(&requests));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&healed), Arc::clone(&counted)));
            }
        });
        Self { address, well, requests, _serving: AbortOnDropHandle::new(serving) }
    }
}

async fn answer(mut stream: TcpStream, well: Arc<AtomicBool>, requests: Arc<AtomicU64>) {
    let mut head = [0; 1024];
    let length = stream.read(&mut head).await.unwrap_or_default();
    let is_check = head[..length].starts_with(b"GET /up ");
    if !is_check {
        requests.fetch_add(1, Relaxed);
    }
    if is_check || well.load(Relaxed) {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhealed";
        stream.write_all(answer).await.ok();
    }
}

/// Asks until the status is as wished.
async fn ask_until(proxy: &Proxy, wished: impl Fn(&ServiceStatus) -> bool) -> ServiceStatus {
    let asking = async {
        loop {
            get_once(proxy.address, "a").await;
            let status = proxy.status().await;
            if wished(&status) {
                return status;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, asking).await.expect("the status never became as wished")
}

fn ejected(status: &ServiceStatus) -> Vec<bool> {
    status.active.as_ref().unwrap().targets.iter().map(|target| target.ejected).collect()
}

fn ejections(status: &ServiceStatus) -> u64 {
    status.active.as_ref().unwrap().ejections
}

#[tokio::test]
async fn a_target_that_fails_its_requests_is_left_out_and_no_request_fails() {
    let (broken, well) = (Broken::start().await, Application::named("well").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(broken.address), well.target()]).await;
    let asking = async {
        loop {
            assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "well".to_owned()));
            if ejected(&proxy.status().await) == [true, false] {
                break;
            }
        }
    };
    timeout(LIMIT, asking).await.unwrap();
    let before = broken.requests.load(Relaxed);
    for _ in 0..20 {
        assert_eq!(get_once(proxy.address, "a").await.1, "well");
    }
    assert_eq!(broken.requests.load(Relaxed), before);
    assert_eq!(ejections(&proxy.status().await), 1);
}

#[tokio::test]
async fn when_all_fail_half_of_them_stay_and_what_has_recovered_serves() {
    let apps = [Broken::start().await, Broken::start().await];
    let proxy = Proxy::start().await;
    proxy.switch(1, &apps.each_ref().map(|app| target(app.address))).await;
    let status = ask_until(&proxy, |status| ejections(status) > 0).await;
    let out = ejected(&status);
    assert!(out == [true, false] || out == [false, true], "{out:?}");
    for _ in 0..10 {
        assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(ejections(&proxy.status().await), 1);
    apps.iter().for_each(|app| app.well.store(true, Relaxed));
    assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "healed".to_owned()));
}

#[tokio::test]
async fn an_only_target_is_never_left_out() {
    let broken = Broken::start().await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(broken.address)]).await;
    for _ in 0..10 {
        assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::BAD_GATEWAY);
    }
    let status = proxy.status().await;
    assert_eq!((ejected(&status), ejections(&status)), (vec![false], 0));
    broken.well.store(true, Relaxed);
    assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "healed".to_owned()));
}

#[tokio::test]
async fn the_service_says_after_how_many_failures_a_target_is_left_out_and_whether_at_all() {
    let well = Application::named("well").await;
    for (failures, ejections) in [(1, 1), (0, 0)] {
        let broken = Broken::start().await;
        let proxy = Proxy::start().await;
        let ejection = Ejection { failures, base_ms: 600_000, max_ms: 600_000 };
        let upstream = Upstream { ejection, ..Upstream::default() };
        let switch = Switch { upstream, ..switch(1, &[target(broken.address), well.target()]) };
        proxy.call(Request::Switch(Box::new(switch))).await.unwrap();
        let asked = ask_until(&proxy, |_| broken.requests.load(Relaxed) > 3 * (1 - ejections)).await;
        assert_eq!((self::ejections(&asked), ejected(&asked)[0]), (ejections, ejections == 1));
    }
}

#[tokio::test]
async fn a_health_check_that_passes_brings_it_back_before_its_time() {
    let (broken, well) = (Broken::start().await, Application::named("well").await);
    let proxy = Proxy::start().await;
    let targets = [target(broken.address), well.target()];
    let health = Some(HealthCheck::new("/up", 50, 10_000));
    let watched = Switch { health, ..switch(1, &targets) };
    proxy.call(Request::Switch(Box::new(watched))).await.unwrap();
    ask_until(&proxy, |status| ejections(status) > 0).await;
    broken.well.store(true, Relaxed);
    proxy.until(|status| ejected(status) == [false, false]).await;
    let before = broken.requests.load(Relaxed);
    ask_until(&proxy, |_| broken.requests.load(Relaxed) > before).await;
}
