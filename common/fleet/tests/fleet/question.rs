//! Questions to an application, over a real connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cutover_core::ApplicationProtocol;
use cutover_fleet::NoAnswer;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
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
        "/large" => (StatusCode::OK, "x".repeat(1 << 20)),
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
    let answer = machine().ask(address, ApplicationProtocol::H2c, "/up", LIMIT).await.unwrap();
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
            machine.ask(address, ApplicationProtocol::Http1, path, LIMIT).await.unwrap().to_string(),
            said
        );
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_leaves_the_status() {
    let answer =
        machine().ask(application().await, ApplicationProtocol::Http1, "/large", LIMIT).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_late() {
    let address = application().await;
    let error = machine()
        .ask(address, ApplicationProtocol::Http1, "/never", Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, NoAnswer::Late { .. }) && error.retryable(), "{error}");
}

#[tokio::test]
async fn nobody_who_listens_may_listen_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = machine().ask(address, ApplicationProtocol::Http1, "/up", LIMIT).await.unwrap_err();
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
    let error = machine().ask(address, ApplicationProtocol::Http1, "/up", LIMIT).await.unwrap_err();
    assert!(matches!(error, NoAnswer::Http { .. }) && error.retryable(), "{error}");
}

#[tokio::test]
async fn a_path_that_is_none_is_never_asked_for() {
    let error =
        machine().ask(application().await, ApplicationProtocol::Http1, "/a b", LIMIT).await.unwrap_err();
    assert!(matches!(error, NoAnswer::Path { .. }) && !error.retryable(), "{error}");
}
