//! The load against real servers that misbehave on purpose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, Lost};
use super::{FailureKind, Load, LoadPlan, LoadReport};

const LIMIT: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nx-version: v1\r\ncontent-length: 3\r\n\r\nok\n";

/// A hyper server that gives request number n (from 0) the answer that the function says; an error closes the
/// connection without one. It ends with the test's runtime.
async fn serve<F, R>(answer: F) -> SocketAddr
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = io::Result<Response<Full<Bytes>>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    let asked = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, asked) = (answer.clone(), asked.clone());
            let service = service_fn(move |_| answer(asked.fetch_add(1, Ordering::Relaxed)));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

fn answer(status: u16, version: &str) -> io::Result<Response<Full<Bytes>>> {
    let body = Full::new(Bytes::from_static(b"hello\n"));
    Ok(Response::builder().status(status).header("x-version", version).body(body).unwrap())
}

/// A server of one connection at a time, below HTTP, for what hyper would never do.
fn serve_raw(mut connection: impl FnMut(StdStream) + Send + 'static) -> SocketAddr {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            connection(stream.unwrap());
        }
    });
    address
}

/// Reads one request; false when there is none.
fn read_request(stream: &mut StdStream) -> bool {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return false;
        }
        request.push(byte[0]);
    }
    true
}

fn plan(address: SocketAddr, rate: u32) -> LoadPlan {
    LoadPlan { rate, timeout: LIMIT, ..LoadPlan::new(address, "app.test") }
}

/// Waits until the load has seen what is wanted.
async fn until(load: &Load, seen: impl Fn(&LoadReport) -> bool) {
    let wait = async {
        while !seen(&load.snapshot()) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("not seen in time: {:?}", load.snapshot()));
}

fn kinds(report: &LoadReport) -> BTreeSet<FailureKind> {
    report.failed.iter().map(|failure| failure.kind).collect()
}

#[tokio::test]
async fn counts_every_answer_of_a_server_that_behaves() {
    let load = Load::start(plan(serve(|_| async { answer(200, "v1") }).await, 500));
    until(&load, |report| report.answered >= 100).await;
    let report = load.stop().await;

    assert_eq!(report.answered, report.sent);
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(report.by_version[&Some("v1".to_owned())].statuses[&200], report.sent);
    assert!(report.p50 <= report.p99 && report.p99 <= report.slowest && !report.slowest.is_zero());
}

#[tokio::test]
async fn tells_the_versions_apart() {
    let site = serve(|n| async move {
        match n {
            0..40 => answer(200, "v1"),
            40..60 => answer(500, "v2"),
            _ => answer(200, "v1"),
        }
    });
    let load = Load::start(plan(site.await, 500));
    until(&load, |report| report.answered >= 80).await;
    let report = load.stop().await;

    let bad = &report.by_version[&Some("v2".to_owned())];
    assert_eq!((bad.answered, bad.statuses[&500]), (20, 20));
    assert_eq!(report.failed.len(), 20);
    assert_eq!(kinds(&report), BTreeSet::from([FailureKind::Status(500)]));
    assert_eq!(report.failed_apart_from("v2").count(), 0);
    assert_eq!(report.failed_apart_from("v1").count(), 20);
    assert!(report.first_answer_of("v1").unwrap() < report.first_answer_of("v2").unwrap());
    assert_eq!(report.first_answer_of("v3"), None);
}

#[tokio::test]
async fn a_request_that_the_server_takes_and_drops_has_failed() {
    let site =
        serve(
            |n| async move { if n % 10 == 9 { Err(io::Error::other("dropped")) } else { answer(200, "v1") } },
        );
    let load = Load::start(LoadPlan { fresh_every: 0, ..plan(site.await, 200) });
    until(&load, |report| report.failed.len() >= 3).await;
    let report = load.stop().await;

    assert_eq!(kinds(&report), BTreeSet::from([FailureKind::Reset]));
    assert_eq!(report.retried_idle, 0);
    assert_eq!(report.answered + report.failed.len() as u64, report.sent);
}

#[tokio::test]
async fn a_connection_that_the_server_closes_between_requests_costs_no_request() {
    let address = serve_raw(|mut stream| {
        if read_request(&mut stream) {
            let _ = stream.write_all(ANSWER);
        }
    });
    let load = Load::start(LoadPlan { fresh_every: 0, ..plan(address, 20) });
    until(&load, |report| report.retried_idle >= 5).await;
    let report = load.stop().await;

    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(report.answered, report.sent);
}

#[tokio::test]
async fn a_late_answer_delays_no_other_request_and_its_own_latency_counts() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let site = serve(move |_| {
        let held = held.clone();
        async move {
            held.acquire().await.map_err(io::Error::other)?.forget();
            answer(200, "v1")
        }
    });
    let load = Load::start(LoadPlan { connections: 1, ..plan(site.await, 100) });
    until(&load, |report| report.sent > 20).await;
    assert_eq!(load.snapshot().answered, 0);
    gate.add_permits(1_000_000);
    let report = load.stop().await;

    assert_eq!(report.answered, report.sent);
    // The first one was due 20 intervals of 10 ms before the gate opened, and half of the others at least 10.
    assert!(report.slowest >= Duration::from_millis(200), "{:?}", report.slowest);
    assert!(report.p50 >= Duration::from_millis(50), "{:?}", report.p50);
}

#[tokio::test]
async fn an_answer_that_never_comes_times_out() {
    let site = serve(|_| std::future::pending());
    let load =
        Load::start(LoadPlan { timeout: Duration::from_millis(50), connections: 4, ..plan(site.await, 200) });
    until(&load, |report| report.failed.len() >= 10).await;
    let report = load.stop().await;

    assert_eq!(kinds(&report), BTreeSet::from([FailureKind::Timeout]));
    assert_eq!(report.failed.len() as u64, report.sent);
}

#[tokio::test]
async fn names_what_no_http_server_would_do() {
    // Nobody else gets its port, and it doesn't listen.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = silent.local_addr().unwrap();
    let sends = |bytes: &'static [u8]| {
        serve_raw(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(bytes);
        })
    };
    let cases = [
        (closed, FailureKind::Refused),
        (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), FailureKind::Malformed),
        (sends(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ntoo short"), FailureKind::Reset),
        (sends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"), FailureKind::Reset),
        (sends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"), FailureKind::Malformed),
        (sends(b"HTTP/1.1 200 OK\r\nx-versi"), FailureKind::Reset),
        (sends(b""), FailureKind::Reset),
    ];
    for (address, expected) in cases {
        let load = Load::start(plan(address, 100));
        until(&load, |report| !report.failed.is_empty()).await;
        let report = load.stop().await;
        assert_eq!(kinds(&report), BTreeSet::from([expected]));
        assert_eq!(report.answered, 0);
    }
}

#[tokio::test]
async fn reads_every_framing_of_a_body() {
    const TWO: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Version: v9\r\n\r\n3;a=b\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n\
        HTTP/1.0 200 OK\r\n\r\nuntil the end";
    let (go, going) = std::sync::mpsc::channel::<()>();
    let address = serve_raw(move |mut stream| {
        let (chunked, rest) = TWO.split_at(TWO.len() - 32);
        read_request(&mut stream);
        stream.write_all(chunked).unwrap();
        going.recv().unwrap();
        read_request(&mut stream);
        stream.write_all(rest).unwrap();
    });
    let mut connection = Connection::open(address).await.unwrap();
    let chunked = connection.exchange(REQUEST).await.unwrap();
    assert_eq!((chunked.status, chunked.version.as_deref(), chunked.keeps_alive), (200, Some("v9"), true));
    go.send(()).unwrap();
    let until_close = connection.exchange(REQUEST).await.unwrap();
    assert_eq!((until_close.status, until_close.version, until_close.keeps_alive), (200, None, false));
}

/// A connection on which one request has been answered, and what the server then does with the second one.
async fn second_request(
    server: impl FnOnce(StdStream) + Send + 'static,
    sent_late: bool,
) -> Result<(), Lost> {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server: JoinHandle<()> = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(read_request(&mut stream));
        stream.write_all(ANSWER).unwrap();
        server(stream);
    });
    let mut connection = Connection::open(address).await.unwrap();
    connection.exchange(REQUEST).await.unwrap();
    if sent_late {
        // Joined without a turn of the runtime, which therefore does not know of the close: the request crosses it.
        server.join().unwrap();
    }
    connection.exchange(REQUEST).await.map(drop)
}

#[tokio::test]
async fn a_request_that_crosses_the_close_of_a_kept_connection_was_not_read() {
    assert_eq!(second_request(drop, true).await, Err(Lost::Unread));
}

#[tokio::test]
async fn a_request_that_was_read_on_a_kept_connection_is_lost() {
    let reads_and_closes = |mut stream: StdStream| assert!(read_request(&mut stream));
    assert_eq!(second_request(reads_and_closes, false).await, Err(Lost::Reset));
}

#[tokio::test]
async fn a_request_that_the_servers_kernel_had_taken_is_lost() {
    let closes_over_unread_bytes = |stream: StdStream| assert_eq!(stream.peek(&mut [0]).unwrap(), 1);
    assert_eq!(second_request(closes_over_unread_bytes, false).await, Err(Lost::Reset));
}

#[tokio::test]
async fn failures_are_dated_by_their_schedule() {
    let before = Instant::now();
    let load = Load::start(plan(serve(|_| async { answer(503, "v1") }).await, 100));
    until(&load, |report| report.failed.len() >= 5).await;
    let report = load.stop().await;
    let mut due: Vec<_> = report.failed.iter().map(|failure| failure.at).collect();
    due.sort_unstable();
    assert!(before <= report.started && report.started <= due[0]);
    assert!(due.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(10)), "{due:?}");
}
