//! The rules of HTTP/1.1 that a proxy has to keep.

use cutover_proxy::ServeOptions;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use crate::application::{Application, Body, text};
use crate::client::{Client, get, raw, read, request};
use crate::proxy::Proxy;

async fn proxy_to(app: &Application) -> Proxy {
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    proxy
}

/// Answers with the head that arrived, one field a line.
async fn show_head(request: Request<Incoming>) -> Response<Body> {
    let mut shown = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        shown.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    let mut response = text(StatusCode::OK, shown);
    for (name, value) in
        [("connection", "x-private"), ("x-private", "1"), ("keep-alive", "timeout=5"), ("x-public", "1")]
    {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

#[tokio::test]
async fn hop_by_hop_fields_end_here_and_the_client_is_described_by_the_proxy() {
    let app = Application::serve(show_head).await;
    let proxy = proxy_to(&app).await;
    let mut client = Client::connect(proxy.address).await;
    let mut asked = get("/path?query=1");
    for (name, value) in [
        ("connection", "x-secret"),
        ("x-secret", "1"),
        ("x-forwarded-for", "10.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("accept", "text/plain"),
    ] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    let response = client.send(asked).await.unwrap();
    assert!(!response.headers().contains_key("x-private") && !response.headers().contains_key("keep-alive"));
    assert_eq!(response.headers()["x-public"], "1");
    let head = read(response).await.unwrap();
    let lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines[0], "GET /path?query=1 HTTP/1.1");
    for line in [
        "host: app.example",
        "accept: text/plain",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: app.example",
    ] {
        assert!(lines.contains(&line), "{line} in {head}");
    }
    assert!(!head.contains("x-secret") && !head.contains("10.1.1.1"), "{head}");
    let id = lines.iter().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert_eq!(id.len(), 32);

    let mut known = get("/");
    known.headers_mut().append("x-request-id", "abc-1".parse().unwrap());
    assert!(client.ask(known).await.unwrap().1.contains("x-request-id: abc-1\n"));
}

#[tokio::test]
async fn what_an_upstream_that_is_trusted_says_is_passed_on_and_a_trace_is_started_where_that_is_asked_for() {
    let app = Application::serve(show_head).await;
    let trusting = |options: &mut ServeOptions| {
        options.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        options.start_traces = true;
    };
    let proxy = Proxy::start_with_options(trusting).await;
    proxy.switch(1, &[app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    let mut asked = get("/");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    for (name, value) in [
        ("forwarded", "for=\"[2001:db8::1]\""),
        ("x-forwarded-for", "2001:db8::1"),
        ("traceparent", parent),
        ("tracestate", "a=1"),
    ] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    let (_, head) = client.ask(asked).await.unwrap();
    for line in [
        "forwarded: for=\"[2001:db8::1]\", for=127.0.0.1;proto=http;host=app.example",
        "x-forwarded-for: 2001:db8::1, 127.0.0.1",
        &format!("traceparent: {parent}"),
        "tracestate: a=1",
    ] {
        assert!(head.lines().any(|other| other == line), "{line} in {head}");
    }
    let (_, head) = client.ask(get("/")).await.unwrap();
    let started = head.lines().find_map(|line| line.strip_prefix("traceparent: 00-")).unwrap();
    assert!(started.len() == 52 && started.ends_with("-01"), "{head}");
    assert!(!head.contains("\nforwarded: "), "{head}");
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let app = Application::serve(|request: Request<Incoming>| async move {
        match request.uri().path() {
            "/204" => text(StatusCode::NO_CONTENT, ""),
            "/304" => text(StatusCode::NOT_MODIFIED, ""),
            _ => text(StatusCode::OK, "twelve bytes"),
        }
    })
    .await;
    let proxy = proxy_to(&app).await;
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..3 {
        let head = client.send(request(Method::HEAD, "app.example", "/", "")).await.unwrap();
        assert_eq!(head.headers()["content-length"], "12");
        assert_eq!(read(head).await.unwrap(), "");
        assert_eq!(client.ask(get("/204")).await.unwrap(), (StatusCode::NO_CONTENT, String::new()));
        assert_eq!(client.ask(get("/304")).await.unwrap(), (StatusCode::NOT_MODIFIED, String::new()));
        assert_eq!(client.ask(get("/")).await.unwrap(), (StatusCode::OK, "twelve bytes".to_owned()));
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served() {
    let app = Application::serve(show_head).await;
    let proxy = proxy_to(&app).await;
    let answer = raw(proxy.address, "GET / HTTP/1.0\r\n\r\n", None).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    assert!(answer.contains("GET / HTTP/1.1\n"), "{answer}");
    let kept = "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n";
    let last = "GET / HTTP/1.0\r\nhost: a\r\n\r\n";
    let answers = raw(proxy.address, &format!("{kept}{last}"), None).await;
    assert_eq!(answers.matches("HTTP/1.0 200 OK").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_malformed_request_is_answered_400_and_never_passed_on() {
    let app = Application::named("one").await;
    let proxy = proxy_to(&app).await;
    for malformed in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \u{e9}\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let closing = malformed.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let answer = raw(proxy.address, &closing, None).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{malformed:?} got {answer:?}");
    }
    for coding in ["gzip", "gzip, chunked"] {
        let coded = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n");
        assert!(raw(proxy.address, &coded, None).await.starts_with("HTTP/1.1 501 "), "{coding}");
    }
    assert_eq!(app.requests(), 0);
    let connect = "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n";
    assert!(raw(proxy.address, connect, None).await.starts_with("HTTP/1.1 405 "));
    let (status, _) = Client::connect(proxy.address).await.ask(get("/")).await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_can_be_read_differently_is_refused() {
    let app = Application::serve(show_head).await;
    let proxy = proxy_to(&app).await;
    for ambiguous in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
    ] {
        let answer = raw(proxy.address, ambiguous, None).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{ambiguous:?} got {answer:?}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(app.requests(), 0);
    }
}

#[tokio::test]
async fn it_is_refused_whatever_came_before_on_its_connection() {
    let app = Application::named("app").await;
    let proxy = proxy_to(&app).await;
    for before in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nt: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n",
    ] {
        let ambiguous =
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        let asked = app.requests();
        let answers = raw(proxy.address, &format!("{before}{before}{ambiguous}"), None).await;
        assert_eq!(answers.matches(" 200 OK\r\n").count(), 2, "{before} got {answers}");
        assert_eq!(answers.matches("HTTP/1.1 400 ").count(), 1, "{before} got {answers}");
        assert_eq!(app.requests(), asked + 2);
    }
}

#[tokio::test]
async fn a_target_in_absolute_form_decides_the_host() {
    let app = Application::serve(show_head).await;
    let proxy = proxy_to(&app).await;
    let absolute = "GET http://b.example/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = raw(proxy.address, absolute, None).await;
    assert!(answer.contains("GET /x HTTP/1.1\n") && answer.contains("host: b.example\n"), "{answer}");
}
