//! What a service allows its applications and their clients.

use std::net::SocketAddr;
use std::time::Duration;

use cutover_control::{Request, Switch, Timeouts};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::application::{Application, target, text};
use crate::caller::{LIMIT, switch};
use crate::client::{Client, get, get_once, raw, read_until};
use crate::proxy::Proxy;
use crate::streaming::{channel, data, next, streaming_app};
use crate::upgrade::{echo, says_back, upgraded};

pub(crate) async fn allowing(switch: Switch) -> Proxy {
    let proxy = Proxy::start().await;
    proxy.call(Request::Switch(Box::new(switch))).await.unwrap();
    proxy
}

/// A listener that accepts nobody any more, and what keeps it from that.
async fn full() -> (SocketAddr, socket2::Socket, Vec<TcpStream>) {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(accepted) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(accepted.unwrap());
        assert!(waiting.len() < 100, "the queue never gets full");
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn an_application_that_accepts_no_connection_in_time_is_a_504_unless_another_does() {
    let (address, _listener, _waiting) = full().await;
    let timeouts = Timeouts { connect_ms: 50, ..Timeouts::of_response(60_000) };
    let proxy = allowing(Switch { timeouts, ..switch(1, &[target(address)]) }).await;
    let (status, told) = get_once(proxy.address, "a").await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{told}");
    assert_eq!(proxy.status().await.active.unwrap().proxy_errors, 1);

    let app = Application::named("other").await;
    let both = Switch { timeouts, ..switch(1, &[target(address), app.target()]) };
    proxy.call(Request::Switch(Box::new(both))).await.unwrap();
    for _ in 0..4 {
        assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "other".to_owned()));
    }
}

#[tokio::test]
async fn a_silent_response_is_cut_and_a_talking_one_is_not() {
    let (app, mut opened) = streaming_app(&[]).await;
    let timeouts = Timeouts { idle_ms: 600, ..Timeouts::of_response(10_000) };
    let proxy = allowing(Switch { timeouts, ..switch(1, &[app.target()]) }).await;
    let mut client = Client::connect(proxy.address).await;
    let mut body = client.send(get("/")).await.unwrap().into_body();
    let feed = opened.recv().await.unwrap();
    for _ in 0..15 {
        feed.send(data("talk")).await.unwrap();
        assert_eq!(next(&mut body).await.into_data().unwrap(), "talk");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(timeout(LIMIT, body.frame()).await.expect("it is still open").unwrap().is_err());
    timeout(LIMIT, feed.closed()).await.expect("the application still sends to nobody");
    let status = proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
    assert_eq!(status.active.unwrap().proxy_errors, 1);
}

#[tokio::test]
async fn a_client_that_takes_its_time_to_read_does_not_make_the_application_silent() {
    const PIECE: usize = 1 << 16;
    const PIECES: usize = 256;
    let app = Application::serve(|_| async {
        let (feed, body) = channel();
        tokio::spawn(async move {
            for _ in 0..PIECES {
                let piece = hyper::body::Frame::data(vec![b'x'; PIECE].into());
                feed.send(Ok(piece)).await.unwrap();
            }
        });
        hyper::Response::new(body)
    })
    .await;
    let timeouts = Timeouts { idle_ms: 300, ..Timeouts::of_response(10_000) };
    let proxy = allowing(Switch { timeouts, ..switch(1, &[app.target()]) }).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(900)).await;
    let mut received = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut received)).await.unwrap().unwrap();
    assert!(received.len() > PIECE * PIECES, "{}", received.len());
}

#[tokio::test]
async fn an_upgraded_connection_is_cut_when_both_sides_are_silent() {
    let app = echo().await;
    let timeouts = Timeouts { idle_ms: 600, ..Timeouts::of_response(10_000) };
    let proxy = allowing(Switch { timeouts, ..switch(1, &[app.target()]) }).await;
    let mut stream = upgraded(&proxy).await;
    for _ in 0..15 {
        says_back(&mut stream, "talk").await;
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(read_until(&mut stream, None).await, "");
    proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
}

/// Answers with the length of the body, and says of each whether it came to its end.
pub(crate) async fn counting() -> (Application, mpsc::UnboundedReceiver<bool>) {
    let (ended, ends) = mpsc::unbounded_channel();
    let app = Application::serve(move |request: hyper::Request<Incoming>| {
        let ended = ended.clone();
        async move {
            let body = request.into_body().collect().await;
            ended.send(body.is_ok()).unwrap();
            text(StatusCode::OK, body.map_or(0, |body| body.to_bytes().len()).to_string())
        }
    })
    .await;
    (app, ends)
}

fn head(framing: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n")
}

#[tokio::test]
async fn a_body_that_is_said_to_be_too_large_is_refused_before_the_application_is_asked() {
    let (app, _ends) = counting().await;
    let proxy = allowing(Switch { max_request_body: Some(10), ..switch(1, &[app.target()]) }).await;
    let fits = head("connection: close\r\ncontent-length: 10") + "0123456789";
    assert!(raw(proxy.address, &fits, None).await.ends_with("\r\n\r\n10"));
    assert_eq!(app.requests(), 1);

    let answer = raw(proxy.address, &head("content-length: 11"), Some("takes\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close\r\n"), "{answer}");
    // The answer is there also for a client that reads nothing before it has sent all.
    let size = 8 << 20;
    let large = head(&format!("content-length: {size}")) + &"x".repeat(size);
    let answer = raw(proxy.address, &large, None).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("takes\n"), "{answer}");

    let expecting = head("expect: 100-continue\r\ncontent-length: 11");
    let answer = raw(proxy.address, &expecting, None).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("takes\n"), "{answer}");
    assert_eq!(app.requests(), 1);
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.requests, active.proxy_errors), (1, 0));
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_is_broken_off_for_the_application_and_the_client_gets_413() {
    let (app, mut ends) = counting().await;
    let proxy = allowing(Switch { max_request_body: Some(10), ..switch(1, &[app.target()]) }).await;
    let chunked = |chunks: &[&str]| {
        let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        head("transfer-encoding: chunked\r\nconnection: close") + &chunks + "0\r\n\r\n"
    };
    assert!(raw(proxy.address, &chunked(&["01234", "56789"]), None).await.ends_with("\r\n\r\n10"));
    assert!(ends.recv().await.unwrap());
    let large = "x".repeat(1 << 20);
    for chunks in [&["01234", "567890"][..], &["01234567890"], &["1", &large, &large, &large, &large]] {
        let answer = raw(proxy.address, &chunked(chunks), None).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("takes\n"), "{answer}");
    }
    // The application never takes a body for whole that was broken off.
    assert!(std::iter::from_fn(|| ends.try_recv().ok()).all(|whole| !whole));
    assert_eq!(proxy.status().await.active.unwrap().proxy_errors, 0);
}

#[tokio::test]
async fn what_has_been_answered_already_is_cut_when_the_body_grows_too_large() {
    let (app, mut opened) = streaming_app(&[]).await;
    let proxy = allowing(Switch { max_request_body: Some(10), ..switch(1, &[app.target()]) }).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(head("transfer-encoding: chunked").as_bytes()).await.unwrap();
    let feed = opened.recv().await.unwrap();
    feed.send(data("begun")).await.unwrap();
    assert!(read_until(&mut stream, Some("begun\r\n")).await.starts_with("HTTP/1.1 200 "));
    stream.write_all(b"b\r\n0123456789a\r\n").await.unwrap();
    assert_eq!(read_until(&mut stream, None).await, "");
    let status = proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
    // No fault of the application, which would be taken back for too many.
    assert_eq!(status.active.unwrap().proxy_errors, 0);
}
