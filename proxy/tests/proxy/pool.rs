//! Limits of the connections to an application, and of a request as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use cutover_control::{Request, Switch, Timeouts, Upstream};
use http_body_util::BodyExt;
use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::application::{Application, target};
use crate::caller::{LIMIT, switch};
use crate::client::{Client, get, get_once};
use crate::proxy::Proxy;
use crate::streaming::{data, next, streaming_app};
use crate::upgrade::{echo, says_back, upgraded};

/// An application that keeps its connections open, and knows how many, and how many requests it has at once. It may learn of
/// the end of a connection at any later time.
struct Counted {
    address: std::net::SocketAddr,
    open: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl Counted {
    /// Each answer takes a permit.
    async fn start(gate: Arc<Semaphore>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicUsize::new(0));
        let connected = Arc::clone(&open);
        let (asked, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, peak) = (Arc::clone(&asked), Arc::clone(&most));
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (counted, peak, gate) = (Arc::clone(&counted), Arc::clone(&peak), Arc::clone(&gate));
                let connected = Arc::clone(&connected);
                connected.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    let mut head = [0; 2048];
                    while stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                        peak.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
                        gate.acquire().await.unwrap().forget();
                        counted.fetch_sub(1, SeqCst);
                        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err()
                        {
                            break;
                        }
                    }
                    connected.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { address, open, asked, most, _serving: AbortOnDropHandle::new(serving) }
    }
}

async fn with(upstream: Upstream, timeouts: Timeouts, address: std::net::SocketAddr) -> Proxy {
    let proxy = Proxy::start().await;
    let limited = Switch { upstream, timeouts, ..switch(1, &[target(address)]) };
    proxy.call(Request::Switch(Box::new(limited))).await.unwrap();
    proxy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_connections_than_allowed_are_open_and_who_waits_is_served() {
    const MOST: usize = 3;
    let gate = Arc::new(Semaphore::new(0));
    let app = Counted::start(Arc::clone(&gate)).await;
    let upstream = Upstream { max_connections: Some(3), ..Upstream::default() };
    let timeouts = Timeouts { connect_ms: 20_000, ..Timeouts::of_response(20_000) };
    let proxy = with(upstream, timeouts, app.address).await;
    let mut clients = JoinSet::new();
    for _ in 0..12 {
        let address = proxy.address;
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..20 {
                assert_eq!(client.ask(get("/")).await.unwrap().0, StatusCode::OK);
            }
        });
    }
    proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 12).await;
    let full = async {
        while app.asked.load(SeqCst) < MOST {
            sleep(std::time::Duration::from_millis(1)).await
        }
    };
    timeout(LIMIT, full).await.unwrap();
    gate.add_permits(12 * 20);
    while let Some(client) = timeout(LIMIT, clients.join_next()).await.unwrap() {
        client.unwrap();
    }
    assert_eq!(app.most.load(SeqCst), MOST);
    assert_eq!(proxy.status().await.active.unwrap().proxy_errors, 0);
}

#[tokio::test]
async fn who_waits_too_long_for_a_connection_reads_503_and_an_upgraded_one_holds_its_own() {
    let app = echo().await;
    let upstream = Upstream { max_connections: Some(1), ..Upstream::default() };
    let timeouts = Timeouts { connect_ms: 100, ..Timeouts::of_response(10_000) };
    let proxy = with(upstream, timeouts, app.address).await;
    let mut socket = upgraded(&proxy).await;
    let (status, told) = get_once(proxy.address, "a").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{told}");
    says_back(&mut socket, "still here").await;
    drop(socket);
    proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
    assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::UPGRADE_REQUIRED);
}

#[tokio::test]
async fn no_more_idle_connections_than_allowed_are_kept() {
    for most in [0, 2] {
        let app = Counted::start(Arc::new(Semaphore::new(usize::MAX >> 4))).await;
        let upstream = Upstream { max_idle: Some(most), ..Upstream::default() };
        let proxy = with(upstream, Timeouts::of_response(10_000), app.address).await;
        for _ in 0..4 {
            let answers = futures_util::future::join_all((0..6).map(|_| get_once(proxy.address, "a"))).await;
            assert!(answers.iter().all(|answer| answer.0 == StatusCode::OK));
        }
        let most = most as usize;
        let settled = async {
            while app.open.load(SeqCst) > most {
                sleep(std::time::Duration::from_millis(1)).await
            }
        };
        timeout(LIMIT, settled).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_in_all_is_cut_wherever_it_is() {
    let (app, mut opened) = streaming_app(&[]).await;
    let total = Timeouts { total_ms: 500, ..Timeouts::of_response(10_000) };
    let proxy = with(Upstream::default(), total, app.address).await;
    let mut client = Client::connect(proxy.address).await;
    let mut body = client.send(get("/")).await.unwrap().into_body();
    let feed = opened.recv().await.unwrap();
    let talking = async {
        // It isn't silent for a moment.
        while feed.send(data("talk")).await.is_ok() {
            sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let reading = async { while let Some(Ok(_)) = body.frame().await {} };
    timeout(LIMIT, async { tokio::join!(talking, reading) }).await.unwrap();
    assert_eq!(proxy.status().await.active.unwrap().proxy_errors, 1);

    let (app, _asks, _gate) = Application::patient("never").await;
    let proxy = with(Upstream::default(), total, app.address).await;
    let (status, told) = get_once(proxy.address, "a").await;
    assert_eq!((status, told.contains("in all")), (StatusCode::GATEWAY_TIMEOUT, true), "{told}");
}

#[tokio::test]
async fn a_request_that_ends_in_its_time_and_an_upgraded_connection_are_left_alone() {
    let app = echo().await;
    let total = Timeouts { total_ms: 300, ..Timeouts::of_response(10_000) };
    let proxy = with(Upstream::default(), total, app.address).await;
    let mut socket = upgraded(&proxy).await;
    sleep(std::time::Duration::from_millis(600)).await;
    says_back(&mut socket, "still here").await;

    let (app, mut opened) = streaming_app(&[]).await;
    let total = Timeouts { total_ms: 20_000, ..Timeouts::of_response(10_000) };
    let proxy = with(Upstream::default(), total, app.address).await;
    let mut client = Client::connect(proxy.address).await;
    let mut body = client.send(get("/")).await.unwrap().into_body();
    let feed = opened.recv().await.unwrap();
    feed.send(data("one")).await.unwrap();
    next(&mut body).await;
    drop(feed);
    assert!(timeout(LIMIT, body.frame()).await.unwrap().is_none());
}
