//! Clients that send what nobody should, in HTTP/1.1: each is refused or bounded, and the others are served all the while.

use std::time::Duration;

use cutover_control::{Switch, Timeouts};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::application::{Application, Body, text};
use crate::caller::{LIMIT, switch};
use crate::client::{get_once, raw, read_until};
use crate::limits::{allowing, counting};
use crate::process::Process;

/// What a flood may cost in memory, in bytes: far less than it sends.
pub(crate) const ROOM: u64 = 32 << 20;

/// A request that must never be seen by an application: it is in the body, or behind the end, of another one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// A proxy in a process of its own before an application.
pub(crate) async fn proxy_to(app: &Application) -> Process {
    let (proxy, _) = Process::start(&[]).await;
    proxy.switch(1, &[app.target()]).await;
    proxy
}

/// The proxy serves as if nothing had been.
pub(crate) async fn serves(proxy: &Process) {
    assert_eq!(get_once(proxy.address, "a").await.0, StatusCode::OK);
}

/// Sends pieces for as long as they are taken, without reading anything; gives how many were.
pub(crate) async fn flood(stream: &mut TcpStream, piece: &[u8], most: usize) -> usize {
    for sent in 0..most {
        if !matches!(timeout(Duration::from_secs(1), stream.write_all(piece)).await, Ok(Ok(()))) {
            return sent;
        }
    }
    most
}

fn post(head: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_request_whose_head_is_not_clear_is_refused_and_nothing_after_it_is_read() {
    let app = Application::named("one").await;
    let proxy = proxy_to(&app).await;
    let unclear = [
        // Where it ends.
        "content-length: 4\r\ncontent-length: 5",
        "content-length: 4, 5",
        "content-length: 4, 4",
        "content-length: +4",
        "content-length: 0x4",
        "content-length: 4 4",
        "content-length:",
        "content-length: 99999999999999999999",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: gzip",
        "transfer-encoding: xchunked",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        // Where a field ends.
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        "folded: a\r\n b",
        "transfer-encoding:\r\n chunked",
        "bare: a\rb",
        "bare: a\r\r\ncontent-length: 4",
        "nul: a\0b",
        "control: a\u{7}b",
        "control: a\u{7f}b",
        "na\0me: a",
        "na me: a",
        "n\u{e9}me: a",
        ": a",
        "no colon",
        // Whom it is for.
        "host: b",
        "host: a",
    ];
    let none = [
        "GET / HTTP/1.1\r\n host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET http://user:pass@a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\rhost: a\r\n\r\n",
        "GET /\r/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nhost: a\r\n\r\n",
        "GET / http/1.1\r\nhost: a\r\n\r\n",
        "GET /\r\nhost: a\r\n\r\n",
        "G\0T / HTTP/1.1\r\nhost: a\r\n\r\n",
        "G{T / HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    let unclear = unclear.map(|head| post(head, "0\r\n\r\n"));
    let mut clear = 0;
    for request in unclear.iter().map(String::as_str).chain(none) {
        // Also behind one that goes the complete way, and the connection with it.
        for before in ["", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"] {
            let answers = raw(proxy.address, &format!("{before}{request}{SMUGGLED}"), None).await;
            let count = |status: u16| answers.matches(&format!("HTTP/1.1 {status} ")).count();
            let expected = usize::from(!before.is_empty());
            assert_eq!((count(200), count(400) + count(501)), (expected, 1), "{request:?} got {answers:?}");
            clear += expected as u64;
        }
    }
    let old = "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(raw(proxy.address, old, None).await.contains(" 400 "));
    assert_eq!(app.requests(), clear);
    serves(&proxy).await;
}

/// Answers with the fields that say how a body was framed, and the body.
async fn show_framing(request: Request<Incoming>) -> Response<Body> {
    use http_body_util::BodyExt;
    let lengths = request.headers().get_all("content-length").iter();
    let lengths: Vec<_> = lengths.map(|length| length.to_str().unwrap().to_owned()).collect();
    let coded = request.headers().contains_key("transfer-encoding");
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes());
    text(StatusCode::OK, format!("{path} {lengths:?} {coded} {body:?}"))
}

/// What hyper repairs before anybody sees it: on this path it can't be refused. It has one meaning for the application, whatever
/// the client or something in front of it meant, and where the length of a message was in doubt the connection ends with it.
#[tokio::test]
async fn what_is_repaired_has_one_meaning_for_the_application() {
    let app = Application::serve(show_framing).await;
    let proxy = proxy_to(&app).await;
    let chunked = "/ [] true Ok(b\"body\")";
    for (sent, shown) in [
        (
            post("content-length: 3\r\ntransfer-encoding: chunked", "4\r\nbody\r\n0\r\n\r\n") + SMUGGLED,
            chunked,
        ),
        (
            post("transfer-encoding: chunked\r\ncontent-length: 3", "4\r\nbody\r\n0\r\n\r\n") + SMUGGLED,
            chunked,
        ),
        (
            post("transfer-encoding: chunked\r\ncontent-length: x", "4\r\nbody\r\n0\r\n\r\n") + SMUGGLED,
            chunked,
        ),
        (
            post("connection: close\r\ncontent-length: 4\r\ncontent-length: 4", "body"),
            "/ [\"4\"] false Ok(b\"body\")",
        ),
        (post("connection: close\r\ntransfer-encoding: chunked", "0004 \t\r\nbody\r\n0\r\n\r\n"), chunked),
        (
            "\n\r\n\nPOST / HTTP/1.1\nhost: a\ncontent-length: 4\nconnection: close\n\nbody".to_owned(),
            "/ [\"4\"] false Ok(b\"body\")",
        ),
    ] {
        let answer = raw(proxy.address, &sent, None).await;
        let refused = answer.starts_with("HTTP/1.1 400 ");
        assert!(refused || answer.ends_with(&format!("\r\n\r\n{shown}")), "{sent:?} got {answer:?}");
        assert_eq!(answer.matches("\r\ndate: ").count(), 1, "{sent:?} got {answer:?}");
    }
    serves(&proxy).await;
}

#[tokio::test]
async fn a_body_whose_chunks_are_none_is_broken_off_for_the_application() {
    let (app, mut ends) = counting().await;
    let proxy = proxy_to(&app).await;
    let long = "x".repeat(20_000);
    for body in [
        "g\r\nbody\r\n0\r\n\r\n",
        "-1\r\nbody\r\n0\r\n\r\n",
        "0x4\r\nbody\r\n0\r\n\r\n",
        " 4\r\nbody\r\n0\r\n\r\n",
        "\r\nbody\r\n0\r\n\r\n",
        "4 4\r\nbody\r\n0\r\n\r\n",
        "4\nbody\r\n0\r\n\r\n",
        "4\r\nbody\n0\r\n\r\n",
        "4\r\nbodies\r\n0\r\n\r\n",
        "4\r\nbody\r\n0\n\n",
        "4;a\nb\r\nbody\r\n0\r\n\r\n",
        "10000000000000000\r\nbody\r\n0\r\n\r\n",
        "fffffffffffffffffffffffffffffff4\r\nbody\r\n0\r\n\r\n",
        "4\r\nbody\r\n0\r\nno colon\r\n\r\n",
        "4\r\nbody\r\n0\r\n folded: a\r\n\r\n",
        &format!("4;{long}\r\nbody\r\n0\r\n\r\n"),
        &format!("4\r\nbody\r\n0\r\nlong: {long}\r\n\r\n"),
        &format!("4\r\nbody\r\n0\r\n{}\r\n", "a: b\r\n".repeat(1_000)),
    ] {
        let answer = raw(proxy.address, &(post("transfer-encoding: chunked", body) + SMUGGLED), None).await;
        let shown = &body[..body.len().min(50)];
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{shown:?} got {answer:?}");
        assert!(answer.matches("\r\ndate: ").count() < 2, "{shown:?} got {answer:?}");
    }
    while let Ok(whole) = ends.try_recv() {
        assert!(!whole);
    }
    serves(&proxy).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_before_it_is_whole() {
    let app = Application::named("one").await;
    let proxy = proxy_to(&app).await;
    serves(&proxy).await;
    let before = (proxy.memory(), app.requests());
    let long = |length: usize| "x".repeat(length);
    for (sent, status) in [
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", long(40_000)), 414),
        (format!("GET /{}", long(1 << 20)), 414),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nlong: {}", long(1 << 20)), 431),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}: b", long(1 << 20)), 431),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(5_000)), 431),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}", "a: b\r\n".repeat(1_000_000)), 431),
    ] {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        // What is sent after the refusal may be answered with a reset.
        stream.write_all(sent.as_bytes()).await.ok();
        let answer = read_until(&mut stream, None).await;
        let shown = &sent[..30];
        assert!(
            answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown:?} got {answer:?}"
        );
    }
    // Empty lines before a head are skipped (RFC 9112, 2.2), and not kept.
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    flood(&mut stream, "\r\n".repeat(1 << 16).as_bytes(), 500).await;
    assert_eq!(app.requests(), before.1);
    assert!(proxy.memory() < before.0 + ROOM);
    serves(&proxy).await;
}

#[tokio::test]
async fn heads_that_never_end_and_connections_that_say_nothing_keep_nobody_from_being_served() {
    const CLIENTS: usize = 400;
    let app = Application::named("one").await;
    let proxy = proxy_to(&app).await;
    let mut held = Vec::new();
    for number in 0..CLIENTS {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let said = ["", "GET", "GET / HTTP/1.1\r\nhost: a\r\nx-1: ", "PRI * HTTP/2.0\r\n"][number % 4];
        stream.write_all(said.as_bytes()).await.unwrap();
        held.push(stream);
    }
    serves(&proxy).await;
    let before = proxy.memory();
    // A byte now and then.
    for _ in 0..20 {
        for stream in &mut held {
            stream.write_all(b"x").await.ok();
        }
        serves(&proxy).await;
    }
    assert!(proxy.memory() < before + ROOM);
}

#[tokio::test]
async fn a_client_that_stops_within_a_body_gets_408_and_the_application_is_not_blamed() {
    let (app, mut ends) = counting().await;
    let quick = Switch { timeouts: Timeouts::of_response(300), ..switch(1, &[app.target()]) };
    let proxy = allowing(quick).await;
    for half in [post("content-length: 10", "01234"), post("transfer-encoding: chunked", "a\r\n01234")] {
        let answer = raw(proxy.address, &half, None).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close\r\n"), "{answer}");
        assert!(!timeout(LIMIT, ends.recv()).await.unwrap().unwrap());
    }
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.proxy_errors, active.targets[0].in_flight), (0, 0));
}

#[tokio::test]
async fn an_application_that_takes_no_body_is_to_blame_itself() {
    let (app, _asks, _gate) = Application::patient("late").await;
    let quick = Switch { timeouts: Timeouts::of_response(500), ..switch(1, &[app.target()]) };
    let proxy = allowing(quick).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let size = 64 << 20;
    stream.write_all(post(&format!("content-length: {size}"), "").as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let piece = vec![b'x'; 1 << 16];
    let sending = async { while writer.write_all(&piece).await.is_ok() {} };
    let mut head = [0; 12];
    let reading = tokio::io::AsyncReadExt::read_exact(&mut reader, &mut head);
    tokio::select! {
        _ = timeout(LIMIT, reading) => {}
        () = sending => {}
    }
    assert_eq!(&head, b"HTTP/1.1 504");
    assert_eq!(proxy.status().await.active.unwrap().proxy_errors, 1);
}

#[tokio::test]
async fn requests_behind_one_another_are_answered_in_their_order_and_not_gathered() {
    let app = Application::serve(|request: Request<Incoming>| async move {
        text(StatusCode::OK, format!("{:0>1000}", request.uri().path()))
    })
    .await;
    let proxy = proxy_to(&app).await;
    let all: String = (0..200).map(|number| format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    let last = "GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = raw(proxy.address, &(all + last), None).await;
    let paths: Vec<_> = answer.split("0/").skip(1).map(|rest| rest.split("HTTP").next().unwrap()).collect();
    assert_eq!(paths.len(), 201);
    assert!(paths.iter().take(200).enumerate().all(|(number, path)| *path == number.to_string()));

    // A client that reads nothing is asked to wait.
    let before = (proxy.memory(), app.requests());
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let many = SMUGGLED.repeat(1_000);
    assert!(flood(&mut stream, many.as_bytes(), 5_000).await < 5_000);
    assert!(app.requests() - before.1 < 100_000);
    assert!(proxy.memory() < before.0 + ROOM);
    serves(&proxy).await;
}
