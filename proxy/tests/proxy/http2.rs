//! Clients that speak HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::application::{Application, text};
use crate::caller::LIMIT;
use crate::client::get_once;
use crate::proxy::Proxy;

/// A connection that begins with HTTP/2 (RFC 9113, 3.3).
pub(crate) async fn connect<B>(address: SocketAddr) -> SendRequest<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let uri = format!("http://app.example{path}");
    Request::builder().method(method).uri(uri).body(Full::new(Bytes::from(body))).unwrap()
}

async fn send(sender: &SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Response<Incoming> {
    timeout(LIMIT, sender.clone().send_request(request)).await.expect("no answer in time").unwrap()
}

#[tokio::test]
async fn many_requests_share_a_connection_and_come_to_the_application_as_http_1() {
    let app = Application::serve(|request: Request<Incoming>| async move {
        assert_eq!(request.version(), Version::HTTP_11);
        let shown = |name: &str| {
            let values: Vec<_> =
                request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
            values.join("|")
        };
        let head = format!("{} {} {}", request.uri(), shown("host"), shown("cookie"));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text(StatusCode::OK, format!("{head} {}", String::from_utf8_lossy(&body)))
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let client = connect(proxy.address).await;
    let answers = join_all((0..50).map(async |number| {
        let mut request = request(&format!("/{number}?q"), if number % 2 == 0 { "" } else { "body" });
        for cookie in ["a=1", "b=2"] {
            request.headers_mut().append("cookie", HeaderValue::from_static(cookie));
        }
        let answer = send(&client, request).await;
        assert_eq!((answer.version(), answer.status()), (Version::HTTP_2, StatusCode::OK));
        (number, answer.into_body().collect().await.unwrap().to_bytes())
    }));
    for (number, answer) in answers.await {
        let body = if number % 2 == 0 { "" } else { "body" };
        assert_eq!(answer, format!("/{number}?q app.example a=1; b=2 {body}"));
    }
    assert_eq!(proxy.status().await.active.unwrap().requests, 50);
}

#[tokio::test]
async fn trailers_come_through() {
    let app = Application::serve(|_| async {
        let trailers =
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
        let frames = [Ok(Frame::data(Bytes::from("data"))), Ok(Frame::trailers(trailers))];
        let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed());
        response.headers_mut().insert("trailer", HeaderValue::from_static("grpc-status"));
        response
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut asking = request("/", "");
    asking.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    let answer = send(&connect(proxy.address).await, asking).await.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(answer.to_bytes(), "data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_hands_over_finishes_its_streams() {
    let (app, mut asks, gate) = Application::patient("finished").await;
    let mut proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut client = connect(proxy.address).await;
    let sender = client.clone();
    let answering = tokio::spawn(async move { send(&sender, request("/", "")).await });
    timeout(LIMIT, asks.recv()).await.unwrap();
    let successor = proxy.successor().await;
    gate.add_permits(2);
    let answer = answering.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, "finished");
    proxy.ended().await;
    // It was told that the connection ends.
    timeout(LIMIT, async { while client.ready().await.is_ok() {} }).await.unwrap();
    assert_eq!(send(&connect(successor.address).await, request("/", "")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_preface_may_come_in_pieces_and_only_a_whole_one_is_http2() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in ["P", "R", "I * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\x04\0\0\0\0\0"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut settings = [0; 9];
    timeout(LIMIT, stream.read_exact(&mut settings)).await.unwrap().unwrap();
    assert_eq!(settings[3], 4, "no SETTINGS frame: {settings:?}");

    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    for piece in ["P", "OST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// CVE-2023-44487: requests that are taken back as soon as they are made.
#[tokio::test]
async fn rapid_resets_end_the_connection_and_nobody_else_notices() {
    let app = Application::serve(|_| async {
        std::future::pending::<()>().await;
        text(StatusCode::OK, "never")
    })
    .await;
    let other = Application::named("other").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // GET http / with the authority "a", by the static table (RFC 7541, appendix A).
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
    for number in 0..20_000_u32 {
        let id = (2 * number + 1).to_be_bytes();
        flood.extend([0, 0, head.len() as u8, 1, 0x05]);
        flood.extend(id);
        flood.extend(head);
        flood.extend([0, 0, 4, 3, 0]);
        flood.extend(id);
        flood.extend(8_u32.to_be_bytes());
    }
    let (mut reader, mut writer) = stream.split();
    let said = async {
        let mut said = Vec::new();
        // A reset of the connection is an end as well.
        reader.read_to_end(&mut said).await.ok();
        said
    };
    let (said, _) = timeout(LIMIT, async { tokio::join!(said, writer.write_all(&flood)) }).await.unwrap();
    // GOAWAY with ENHANCE_YOUR_CALM (RFC 9113, 7).
    let goaway = said.windows(17).any(|frame| frame[..4] == [0, 0, 8, 7] || frame[3] == 7 && frame[16] == 11);
    assert!(goaway || said.len() < 1_000, "the connection ended without a word: {} bytes", said.len());
    assert!(app.requests() < 1_000, "{} requests reached the application", app.requests());
    proxy.switch(2, &[other.target()]).await;
    assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "other".to_owned()));
}
