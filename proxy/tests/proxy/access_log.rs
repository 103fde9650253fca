//! What the proxy says of requests, where it is told to.

use std::collections::BTreeMap;

use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use tokio::io::{AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::ChildStdout;
use tokio::time::timeout;

use crate::application::{Application, nobody, target, text};
use crate::caller::LIMIT;
use crate::client::{Client, get, raw, read, read_until, request};
use crate::process::Process;
use crate::streaming::{data, next, streaming_app};
use crate::upgrade::{echo, says_back};

/// A line as it is read by others.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    time: String,
    client: String,
    protocol: Option<String>,
    tls: Option<String>,
    method: Option<String>,
    host: Option<String>,
    path: Option<String>,
    query: Option<String>,
    status: Option<u16>,
    request_bytes: u64,
    response_bytes: u64,
    head_us: Option<u64>,
    total_us: u64,
    destination: Option<String>,
    service: Option<String>,
    deployment: Option<String>,
    release: Option<String>,
    replica: Option<String>,
    retries: u64,
    request_id: Option<String>,
    trace_id: Option<String>,
    rejection: Option<String>,
    aborted: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    response_headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftOut {
    #[serde(rename = "time")]
    _time: String,
    over_rate: u64,
    not_taken: u64,
}

type Output = Lines<BufReader<ChildStdout>>;

async fn next_text(output: &mut Output) -> Option<String> {
    timeout(LIMIT, output.next_line()).await.expect("no line in time").unwrap()
}

async fn next_line(output: &mut Output) -> Line {
    let line = next_text(output).await.unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

async fn logging(options: &[&str]) -> (Process, Output) {
    Process::start(&[&["--access-log"], options].concat()).await
}

fn is(given: &Option<String>, expected: &str) -> bool {
    given.as_deref() == Some(expected)
}

#[tokio::test]
async fn a_line_says_what_became_of_a_request() {
    let app = Application::named("twelve bytes").await;
    let (proxy, mut output) = logging(&[]).await;
    proxy.switch(7, &[app.target()]).await;
    let mut asked = request(Method::POST, "app.example:80", "/path?token=secret", "body");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    for (name, value) in [("user-agent", "mine"), ("x-request-id", "r-1"), ("traceparent", parent)] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    assert_eq!(Client::connect(proxy.address).await.ask(asked).await.unwrap().0, StatusCode::OK);
    let line = next_line(&mut output).await;
    assert!(line.time.ends_with('Z') && line.client == "127.0.0.1", "{line:?}");
    for (given, expected) in [
        (&line.protocol, "HTTP/1.1"),
        (&line.method, "POST"),
        (&line.host, "app.example:80"),
        (&line.path, "/path"),
        (&line.destination, "production"),
        (&line.service, "app"),
        (&line.deployment, "d7"),
        (&line.release, "r7"),
        (&line.replica, &app.target().replica),
        (&line.request_id, "r-1"),
        (&line.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        assert!(is(given, expected), "{expected} in {line:?}");
    }
    assert_eq!((line.status, line.request_bytes, line.response_bytes), (Some(200), 4, 12));
    assert!(line.head_us.unwrap() > 0 && line.total_us >= line.head_us.unwrap(), "{line:?}");
    assert!(
        line.tls.is_none()
            && line.query.is_none()
            && line.rejection.is_none()
            && line.aborted.is_none()
            && line.retries == 0
    );
    assert!(line.headers.is_empty() && line.response_headers.is_empty());
    // Nothing but what was read above is in the line of a request without a trace, or without a body.
    let mut client = Client::connect(proxy.address).await;
    let head = client.send(request(Method::HEAD, "a", "/", "")).await.unwrap();
    read(head).await.unwrap();
    let line = next_line(&mut output).await;
    assert_eq!((line.status, line.response_bytes, line.aborted, line.trace_id), (Some(200), 0, None, None));
    assert_eq!(line.request_id.unwrap().len(), 32);
}

#[tokio::test]
async fn what_is_named_is_logged_too_but_no_secret() {
    let app = Application::serve(|_| async {
        let mut response = text(StatusCode::OK, "");
        response.headers_mut().append("set-cookie", "session=s3cret".parse().unwrap());
        response.headers_mut().append("server", "app".parse().unwrap());
        response
    })
    .await;
    let named = "user-agent,Cookie,authorization,set-cookie,x-api-key";
    let options = ["--access-log-query", "--access-log-header", named, "--access-log-header", "server"];
    let (proxy, mut output) = logging(&options).await;
    proxy.switch(1, &[app.target()]).await;
    let mut asked = get("/?a=b");
    for (name, value) in [
        ("user-agent", "mine \"1\""),
        ("cookie", "session=s3cret"),
        ("authorization", "Bearer s3cret"),
        ("x-api-key", "s3cret"),
        ("referer", "http://s3cret.example"),
    ] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    Client::connect(proxy.address).await.ask(asked).await.unwrap();
    let written = next_text(&mut output).await.unwrap();
    assert!(!written.contains("s3cret"), "{written}");
    let line: Line = serde_json::from_str(&written).unwrap();
    assert!(is(&line.query, "a=b"));
    let fields = |fields: &[(&str, &str)]| {
        BTreeMap::from_iter(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    assert_eq!(
        line.headers,
        fields(&[
            ("user-agent", "mine \"1\""),
            ("cookie", "[redacted]"),
            ("authorization", "[redacted]"),
            ("x-api-key", "[redacted]")
        ])
    );
    assert_eq!(line.response_headers, fields(&[("set-cookie", "[redacted]"), ("server", "app")]));
}

#[tokio::test]
async fn what_the_proxy_refuses_is_logged_with_the_reason() {
    let (proxy, mut output) = logging(&[]).await;
    let long = "x".repeat(100_000);
    for (sent, status, rejection) in [
        ("GET /x HTTP/1.1\r\nhost: a\r\n\r\n", 404, "no service is routed here for this host and path"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "HTTP/1.1 requires a Host header"),
        ("nonsense\r\n\r\n", 400, ""),
        (
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            400,
            "said more than once",
        ),
        (&format!("GET / HTTP/1.1\r\nhost: a\r\nlong: {long}"), 431, ""),
    ] {
        let sent = sent.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let answer = raw(proxy.address, &sent, None).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let line = next_line(&mut output).await;
        assert_eq!(line.status, Some(status), "{line:?}");
        assert!(line.rejection.as_ref().unwrap().contains(rejection), "{line:?}");
        assert!(line.service.is_none() && line.aborted.is_none() && line.client == "127.0.0.1", "{line:?}");
    }
    proxy.switch(1, &[target(nobody().await), target(nobody().await)]).await;
    assert!(raw(proxy.address, "GET / HTTP/1.0\r\n\r\n", None).await.contains(" 502 "));
    let line = next_line(&mut output).await;
    assert_eq!((line.status, line.retries), (Some(502), 1), "{line:?}");
    assert!(is(&line.rejection, "the application does not accept connections") && is(&line.service, "app"));
}

#[tokio::test]
async fn a_response_that_does_not_come_to_its_end_is_logged_with_who_ended_it() {
    let (app, mut opened) = streaming_app(&[]).await;
    let (proxy, mut output) = logging(&[]).await;
    proxy.switch(1, &[app.target()]).await;

    let mut client = Client::connect(proxy.address).await;
    let mut body = client.send(get("/")).await.unwrap().into_body();
    let feed = opened.recv().await.unwrap();
    feed.send(data("begun")).await.unwrap();
    next(&mut body).await;
    feed.send(Err(std::io::Error::other("the application breaks off"))).await.unwrap();
    assert!(body.frame().await.unwrap().is_err());
    let line = next_line(&mut output).await;
    assert_eq!((line.status, line.response_bytes), (Some(200), 5));
    assert!(is(&line.aborted, "application_closed"), "{line:?}");

    let mut client = Client::connect(proxy.address).await;
    let mut body = client.send(get("/")).await.unwrap().into_body();
    let feed = opened.recv().await.unwrap();
    feed.send(data("begun")).await.unwrap();
    next(&mut body).await;
    drop((client, body));
    let line = next_line(&mut output).await;
    assert!(is(&line.aborted, "client_closed") && line.status == Some(200), "{line:?}");

    let (patient, mut asks, _gate) = Application::patient("late").await;
    proxy.switch(2, &[patient.target()]).await;
    let mut gone = TcpStream::connect(proxy.address).await.unwrap();
    gone.write_all(b"GET /gone HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    asks.recv().await.unwrap();
    drop(gone);
    let line = next_line(&mut output).await;
    assert!(
        is(&line.aborted, "client_closed") && is(&line.path, "/gone") && is(&line.deployment, "d2"),
        "{line:?}"
    );
    assert_eq!((line.status, line.head_us), (None, None));
}

#[tokio::test]
async fn an_upgraded_connection_is_logged_once_it_has_ended() {
    let app = echo().await;
    let (proxy, mut output) = logging(&[]).await;
    proxy.switch(1, &[app.target()]).await;
    let ask = "GET /cable HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    read_until(&mut stream, Some("\r\n\r\n")).await;
    says_back(&mut stream, "seven b").await;
    stream.shutdown().await.unwrap();
    assert_eq!(read_until(&mut stream, None).await, "");
    let line = next_line(&mut output).await;
    assert_eq!((line.status, line.request_bytes, line.response_bytes), (Some(101), 7, 7), "{line:?}");
    assert!(is(&line.path, "/cable") && line.aborted.is_none() && is(&line.service, "app"), "{line:?}");
}

#[tokio::test]
async fn lines_over_the_rate_are_left_out_and_counted() {
    let app = Application::named("one").await;
    let (proxy, mut output) = logging(&["--access-log-rate", "3"]).await;
    proxy.switch(1, &[app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..50 {
        client.ask(get("/")).await.unwrap();
    }
    let (mut written, mut left_out) = (0, 0);
    while written + left_out < 50 {
        let line = next_text(&mut output).await.unwrap();
        match serde_json::from_str::<LeftOut>(&line) {
            Ok(told) => left_out += told.over_rate + told.not_taken,
            Err(_) => written += 1,
        }
    }
    assert!(written >= 3 && left_out > 0, "{written} written, {left_out} left out");
}

#[tokio::test]
async fn a_log_that_nobody_reads_delays_no_request_and_what_was_not_taken_is_counted() {
    /// More than fit into the pipe and into what waits.
    const REQUESTS: u64 = 6_000;
    let app = Application::named("one").await;
    let (proxy, mut output) = logging(&["--access-log-rate", "1000000"]).await;
    proxy.switch(1, &[app.target()]).await;
    let path = format!("/{}", "x".repeat(500));
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..REQUESTS {
        assert_eq!(client.ask(get(&path)).await.unwrap().0, StatusCode::OK);
    }
    drop(client);
    let reading = tokio::spawn(async move {
        let (mut written, mut left_out) = (0, 0);
        while let Some(line) = next_text(&mut output).await {
            match serde_json::from_str::<LeftOut>(&line) {
                Ok(told) => left_out += told.over_rate + told.not_taken,
                Err(_) => written += 1,
            }
        }
        (written, left_out)
    });
    proxy.end().await;
    let (written, left_out) = reading.await.unwrap();
    assert_eq!(written + left_out, REQUESTS);
    assert!(left_out > 0);
}

#[tokio::test]
async fn without_being_told_the_proxy_says_nothing_of_requests() {
    let app = Application::named("one").await;
    let (proxy, mut output) = Process::start(&[]).await;
    proxy.switch(1, &[app.target()]).await;
    Client::connect(proxy.address).await.ask(get("/")).await.unwrap();
    proxy.end().await;
    assert_eq!(next_text(&mut output).await, None);
}
