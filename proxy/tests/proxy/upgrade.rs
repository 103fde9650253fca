//! WebSockets and whatever else leaves HTTP.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::application::{Application, Body, text};
use crate::caller::LIMIT;
use crate::client::read_until;
use crate::proxy::Proxy;

pub(crate) const ASK: &str =
    "GET /cable HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: echo\r\n\r\n";

/// Changes to a protocol that sends everything back.
pub(crate) async fn echo() -> Application {
    Application::serve(|request| async { change(request) }).await
}

/// The answer to a request that is to become such a connection.
pub(crate) fn change(mut request: Request<Incoming>) -> Response<Body> {
    let Some(protocol) = request.headers().get("upgrade").cloned() else {
        return text(StatusCode::UPGRADE_REQUIRED, "");
    };
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut reader, mut writer) = split(TokioIo::new(upgrading.await.unwrap()));
        copy(&mut reader, &mut writer).await.ok();
        writer.shutdown().await.ok();
    });
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    response.headers_mut().insert("connection", "upgrade".parse().unwrap());
    response.headers_mut().insert("upgrade", protocol);
    response
}

/// A client that has left HTTP.
pub(crate) async fn upgraded(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(ASK.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, Some("\r\n\r\n")).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: echo\r\n"), "{head}");
    stream
}

pub(crate) async fn says_back(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut back = vec![0; text.len()];
    timeout(LIMIT, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, text.as_bytes());
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_until_it_is_closed() {
    let app = echo().await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut stream = upgraded(&proxy).await;
    for text in ["one", "two", "three"] {
        says_back(&mut stream, text).await;
    }
    assert_eq!(proxy.status().await.active.unwrap().targets[0].in_flight, 1);
    stream.shutdown().await.unwrap();
    assert_eq!(read_until(&mut stream, None).await, "");
    proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
}

#[tokio::test]
async fn an_upgraded_connection_outlives_a_switch_until_the_drain_limit() {
    let (old, new) = (echo().await, Application::named("new").await);
    let proxy = Proxy::start().await;
    proxy.switch(1, &[old.target()]).await;
    let mut stream = upgraded(&proxy).await;
    let mut quick = crate::caller::switch(2, &[new.target()]);
    quick.drain_ms = 400;
    proxy.call(cutover_control::Request::Switch(Box::new(quick))).await.unwrap();
    says_back(&mut stream, "still here").await;
    assert_eq!(proxy.status().await.previous.unwrap().targets[0].in_flight, 1);
    assert_eq!(read_until(&mut stream, None).await, "");
    proxy.until(|status| status.previous.as_ref().unwrap().targets[0].in_flight == 0).await;
}

#[tokio::test]
async fn an_application_that_refuses_to_change_answers_in_http() {
    let app = Application::serve(|_| async { text(StatusCode::FORBIDDEN, "no") }).await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(ASK.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, None).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("no"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}
