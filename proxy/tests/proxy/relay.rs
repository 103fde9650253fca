//! The short way of a request against the complete one: the same bytes in, the same answer out.

use std::collections::BTreeSet;

use cutover_control::{ApplicationProtocol, Port, Request, Route, Switch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::application::target;
use crate::caller::{LIMIT, switch};
use crate::client::read_until;
use crate::proxy::Proxy;

/// An application that answers by the path: with the bytes of an answer, and, where that ends with its body, a body that
/// shows the head that arrived.
struct Scripted {
    address: std::net::SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

/// What it answers: a path, and an answer in which `{head}` stands for the request's head and `{size}` for the head's length.
const ANSWERS: &[(&str, &str)] = &[
    (
        "/plain",
        "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n{head}",
    ),
    ("/undated", "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\nX-Public:  1 \r\n\r\n{head}"),
    (
        "/hop",
        "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\nconnection: keep-alive, x-private\r\nx-private: 1\r\n\
        keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nupgrade: h2c\r\nserver: it\r\n\r\n{head}",
    ),
    (
        "/chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: digest\r\n\r\n3;a=\"b\"\r\none\r\n\
        4\r\n two\r\n0\r\ndigest: 1\r\n\r\n",
    ),
    (
        "/both",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "/early",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    ),
    ("/none", "HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n"),
    ("/same", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n"),
    (
        "/teapot",
        "HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n",
    ),
    ("/broken", "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\nretry-after: 1\r\n\r\nlate"),
    ("/upgrade", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ("/lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc"),
    ("/length", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nab"),
    ("/nonsense", "HTTP/1.1 2x0 OK\r\n\r\n"),
    ("/close", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"),
    ("/until", "HTTP/1.1 200 OK\r\n\r\nas long as it lasts"),
    ("/old", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
];

impl Scripted {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { address, _serving: AbortOnDropHandle::new(serving) }
    }
}

/// Answers one request after the other, and closes where the answer says so or can't be followed by another.
async fn serve(mut stream: TcpStream) {
    loop {
        let Some(head) = read_head(&mut stream).await else { return };
        let path = head.split([' ', '?']).nth(1).unwrap_or_default();
        if head.contains("content-length: 1\r\n") && stream.read_u8().await.is_err() {
            return;
        }
        let Some((_, answer)) = ANSWERS.iter().find(|(known, _)| *known == path) else { return };
        let shown = shown(&head);
        let last = answer.rfind("HTTP/1.").unwrap();
        let length = last + answer[last..].find("\r\n\r\n").unwrap() + 4;
        let answer = if head.starts_with("HEAD") { &answer[..length] } else { answer };
        let answer = answer.replace("{size}", &shown.len().to_string()).replace("{head}", &shown);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if head.contains("connection: close\r\n") || ["/close", "/old", "/lengths", "/until"].contains(&path)
        {
            return;
        }
    }
}

/// As long as the connection lasts.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A head in one form: names in lower case, fields in order, without the request's own id.
fn shown(head: &str) -> String {
    let mut lines = head.trim_end().lines();
    let first = lines.next().unwrap_or_default();
    let fields: BTreeSet<String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| format!("{}: {}", name.to_ascii_lowercase(), value.trim()))
        .filter(|line| !line.starts_with("x-request-id") || line.contains("mine"))
        .collect();
    std::iter::once(first.to_owned()).chain(fields).map(|line| line + "\n").collect()
}

/// Fields of an answer that may differ: the time, and what concerns the framing.
const FREE: &[&str] = &["date: ", "trailer: ", "transfer-encoding: "];

/// An answer in one form: status, fields, content.
fn normal(answer: &str) -> String {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return format!("no answer: {answer:?}") };
    let status = head.split(' ').nth(1).unwrap_or_default();
    // The reason is for people.
    let (_, fields) = head.split_once("\r\n").unwrap_or_default();
    let fields = shown(&format!("{status}\r\n{fields}"));
    let fields: Vec<&str> =
        fields.lines().filter(|line| !FREE.iter().any(|name| line.starts_with(name))).collect();
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        content(body)
    } else {
        body.to_owned()
    };
    format!("{}\n\n{body}", fields.join("\n"))
}

/// What is in a chunked body.
fn content(mut body: &str) -> String {
    let mut content = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        content.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    content
}

/// What is answered on a connection that began with other requests; everything until the proxy closes.
async fn answered(proxy: &Proxy, before: &str, sent: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    if !before.is_empty() {
        stream.write_all(before.as_bytes()).await.unwrap();
        let first = read_until(&mut stream, Some("late")).await;
        assert!(first.starts_with("HTTP/1.1 503"), "{first}");
    }
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut received)).await.unwrap().ok();
    String::from_utf8(received).unwrap()
}

/// A request with a body goes the complete way, and its connection with it.
const COMPLETE: &str = "POST /broken HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx";

#[tokio::test]
async fn both_ways_of_a_request_have_the_same_answer() {
    let app = Scripted::start().await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(app.address)]).await;
    let heads = [
        "",
        "User-Agent: test/1.0\r\nAccept:*/*\r\nCookie: a=1\r\n",
        "X-Forwarded-For: 10.0.0.1\r\nX_Forwarded_Proto: https\r\nx-forwarded-port: 1\r\nForwarded: for=10.0.0.1\r\n",
        "X-Request-Id: mine\r\n",
        "X-Request-Id: \r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: a=1\r\n",
        "tracestate: a=1\r\n",
        "cookie: a=1\r\ncookie: b=2\r\n",
        "te: trailers\r\n",
        "connection: x-secret\r\nx-secret: 1\r\n",
        "x-bytes: \u{fc}\r\nempty:\r\n",
    ];
    let mut cases: Vec<String> = Vec::new();
    for head in heads {
        cases.push(format!(
            "GET /plain?q=1&r={{}} HTTP/1.1\r\nHost: a.example:80\r\n{head}Connection: close\r\n\r\n"
        ));
    }
    for (path, _) in ANSWERS {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
            cases.push(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        }
    }
    for odd in [
        "GET /plain HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET http://b.example/plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /plain HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHost : a\r\nConnection: close\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHost: a\r\nx: 1\r\n folded\r\nConnection: close\r\n\r\n",
        "GET /plain\"<>  HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "TRACE /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "PUT /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /unknown HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        cases.push(odd.to_owned());
    }
    for case in cases {
        let short = normal(&answered(&proxy, "", &case).await);
        let complete = normal(&answered(&proxy, COMPLETE, &case).await);
        assert_eq!(short, complete, "{case}");
    }
}

#[tokio::test]
async fn both_ways_reach_another_port_of_a_replica_alike() {
    let app = Scripted::start().await;
    let proxy = Proxy::start().await;
    let path_prefixes = vec!["/port".to_owned()];
    let route = Route { path_prefixes, strip_path_prefix: true, ..Route::default() };
    let (number, application_protocol) = (app.address.port(), ApplicationProtocol::Http1);
    let ports = vec![Port { number, route, application_protocol }];
    let web = Scripted::start().await;
    let switch = Switch { ports, ..switch(1, &[target(web.address)]) };
    proxy.call(Request::Switch(Box::new(switch))).await.unwrap();
    // Whoever is asked without the prefix shows what it was asked.
    for (path, asked) in [("/port/plain?a=/port", "/plain?a=/port"), ("/plain?b", "/plain?b")] {
        let case = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let short = normal(&answered(&proxy, "", &case).await);
        assert_eq!(short, normal(&answered(&proxy, COMPLETE, &case).await), "{path}");
        assert!(short.contains(&format!("GET {asked} HTTP/1.1\n")), "{short}");
        assert_eq!(short.contains("x-forwarded-prefix: /port\n"), path.starts_with("/port"), "{short}");
    }
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_order_whichever_way_they_go() {
    let app = Scripted::start().await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(app.address)]).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let last = "GET /teapot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let short = [get("/teapot"), get("/none"), get("/chunked"), get("/early")].concat();
    for (sent, expected) in [
        (format!("{short}{last}"), &["418", "204", "200", "200", "418"][..]),
        (format!("{short}{COMPLETE}{last}"), &["418", "204", "200", "200", "503", "418"][..]),
    ] {
        let received = answered(&proxy, "", &sent).await;
        let statuses: Vec<&str> =
            received.split("HTTP/1.1 ").skip(1).map(|answer| answer.get(..3).unwrap_or_default()).collect();
        assert_eq!(statuses, expected, "{received}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_not_made_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive!x",
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(address)]).await;
    for _ in 0..3 {
        let received = answered(&proxy, "", "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(!received.contains("\r\n0\r\n") && !received.ends_with("five!x"), "{received}");
    }
    serving.await.unwrap();
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.requests, active.proxy_errors), (3, 3));
}
