//! Questions to an application, over a real connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cutover_core::{ApplicationProtocol, Check, GrpcCheck, HttpCheck, Replica, Unmet};
use cutover_fleet::NoAnswer;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::machine;

/// How long a test waits for anything before it fails.
const LIMIT: Duration = Duration::from_secs(60);

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match request.uri().path() {
        "/up" => (StatusCode::OK, "ready\n".to_owned()),
        "/starting" => (StatusCode::SERVICE_UNAVAILABLE, "loading the model\nat layer 3\n".to_owned()),
        "/host" => (StatusCode::OK, request.headers()["host"].to_str().unwrap().to_owned()),
        "/large" => (StatusCode::OK, "x".repeat((1 << 20) + 1)),
        "/model" => (StatusCode::OK, r#"{"model": {"loaded": false}}"#.to_owned()),
        "/echo" => {
            let head = format!("{} {:?} ", request.method(), request.headers()["content-type"]);
            let body = request.into_body().collect().await.unwrap().to_bytes();
            (StatusCode::ACCEPTED, head + std::str::from_utf8(&body).unwrap())
        }
        "/elsewhere" => (StatusCode::FOUND, String::new()),
        _ => std::future::pending().await,
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("location", "/up".parse().unwrap());
    Ok(response)
}

/// An application, for as long as the test runs.
async fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    address
}

#[tokio::test]
async fn an_application_of_http_2_is_asked_by_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let builder = http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await.ok();
    });
    let answer =
        machine().ask(address, ApplicationProtocol::H2c, &HttpCheck::get("/up"), LIMIT).await.unwrap();
    assert_eq!(answer.to_string(), "200 OK \"ready\"");
}

#[tokio::test]
async fn an_answer_is_its_status_and_the_first_line_of_its_body() {
    let (machine, address) = (machine(), application().await);
    for (path, said) in [
        ("/up", "200 OK \"ready\"".to_owned()),
        ("/starting", "503 Service Unavailable \"loading the model\"".to_owned()),
        ("/elsewhere", "302 Found".to_owned()),
        ("/host", format!("200 OK \"{address}\"")),
    ] {
        assert_eq!(
            machine
                .ask(address, ApplicationProtocol::Http1, &HttpCheck::get(path), LIMIT)
                .await
                .unwrap()
                .to_string(),
            said
        );
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_leaves_the_status() {
    let answer = machine()
        .ask(application().await, ApplicationProtocol::Http1, &HttpCheck::get("/large"), LIMIT)
        .await
        .unwrap();
    assert_eq!((answer.status, answer.body.len(), answer.is_whole), (StatusCode::OK, 0, false));
    let looked_into = HttpCheck { contains: Some("x".to_owned()), ..HttpCheck::get("/large") };
    assert_eq!(answer.judge(&looked_into), Err(Unmet::Part));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_late() {
    let address = application().await;
    let error = machine()
        .ask(address, ApplicationProtocol::Http1, &HttpCheck::get("/never"), Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, NoAnswer::Late { .. }) && error.retryable(), "{error}");
}

#[tokio::test]
async fn nobody_who_listens_may_listen_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error =
        machine().ask(address, ApplicationProtocol::Http1, &HttpCheck::get("/up"), LIMIT).await.unwrap_err();
    let refused = matches!(error, NoAnswer::Host(cutover_host::Error::NotListening { .. }));
    assert!(refused && error.retryable(), "{error}");
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
    });
    let error =
        machine().ask(address, ApplicationProtocol::Http1, &HttpCheck::get("/up"), LIMIT).await.unwrap_err();
    assert!(matches!(error, NoAnswer::Http { .. }) && error.retryable(), "{error}");
}

#[tokio::test]
async fn a_path_that_is_none_is_never_asked_for() {
    let error = machine()
        .ask(application().await, ApplicationProtocol::Http1, &HttpCheck::get("/a b"), LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, NoAnswer::Question { .. }) && !error.retryable(), "{error}");
}

fn replica(address: SocketAddr) -> Replica {
    Replica { name: "a".into(), address }
}

#[tokio::test]
async fn what_is_sent_arrives_and_what_comes_is_judged() {
    let (machine, replica) = (machine(), replica(application().await));
    let echo = HttpCheck {
        headers: [("content-type".to_owned(), "text/plain".to_owned())].into(),
        body: Some("some text".to_owned()),
        status: "202".parse().unwrap(),
        contains: Some("POST \"text/plain\" some text".to_owned()),
        ..HttpCheck::get("/echo")
    };
    let json = vec!["$.model.loaded == true".parse().unwrap()];
    let model = HttpCheck { json, ..HttpCheck::get("/model") };
    for (check, passed, said) in [
        (echo.clone(), true, "202 Accepted \"POST \"text/plain\" some text\""),
        (HttpCheck { status: "200".parse().unwrap(), ..echo }, false, "its status is none of 200"),
        (model, false, "\": `$.model.loaded == true` is not true: it is false"),
        (HttpCheck::get("/elsewhere"), false, "302 Found"),
        (HttpCheck { status: "302".parse().unwrap(), ..HttpCheck::get("/elsewhere") }, true, "302 Found"),
    ] {
        let checked = machine
            .check(&replica, ApplicationProtocol::Http1, &Check::Http(check.into()), LIMIT)
            .await
            .unwrap();
        assert_eq!(checked.passed, passed, "{checked:?}");
        assert!(checked.said.ends_with(said), "{checked:?}");
    }
}

#[tokio::test]
async fn a_connection_is_enough_for_a_check_of_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let other = Check::Tcp { port: Some(address.port()) };
    let replica = replica(SocketAddr::new(address.ip(), 1));
    let checked = machine().check(&replica, ApplicationProtocol::Http1, &other, LIMIT).await.unwrap();
    assert!(checked.passed && checked.http.is_none(), "{checked:?}");
    drop(listener);
    assert!(machine().check(&replica, ApplicationProtocol::Http1, &other, LIMIT).await.is_err());
}

/// As a server of gRPC answers: it serves `embed` only.
async fn health(
    request: Request<Incoming>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(
        (&request.headers()["content-type"], &request.headers()["te"]),
        (&"application/grpc".parse().unwrap(), &"trailers".parse().unwrap())
    );
    let asked = request.into_body().collect().await.unwrap().to_bytes();
    let (frame, status) = match &asked[..] {
        [0, 0, 0, 0, 7, 0x0a, 5, name @ ..] if name == b"embed" => (vec![0, 0, 0, 0, 2, 0x08, 1], "0"),
        [0, 0, 0, 0, 0] => (vec![0, 0, 0, 0, 2, 0x08, 2], "0"),
        _ => (Vec::new(), "5"),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    let body = Full::from(frame).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    Ok(response)
}

#[tokio::test]
async fn a_server_of_grpc_is_asked_whether_it_serves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let builder = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service_fn(health)));
        }
    });
    for (service, passed, said) in
        [("embed", true, "SERVING"), ("", false, "NOT_SERVING"), ("other", false, "grpc-status 5 \"\"")]
    {
        let check = Check::Grpc(GrpcCheck { service: service.to_owned(), port: None });
        let checked =
            machine().check(&replica(address), ApplicationProtocol::Http1, &check, LIMIT).await.unwrap();
        assert_eq!((checked.passed, checked.said.as_str()), (passed, said), "{service}");
    }
    // One that speaks HTTP/1.1 alone is none.
    let check = Check::Grpc(GrpcCheck::default());
    let replica = replica(application().await);
    let error = machine().check(&replica, ApplicationProtocol::Http1, &check, LIMIT).await.unwrap_err();
    assert!(error.retryable(), "{error}");
}
