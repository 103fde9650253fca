//! Bodies go through as they come, in both directions.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;

use crate::application::{Application, Body, text};
use crate::caller::LIMIT;
use crate::client::{Client, get, raw, read_until};
use crate::proxy::Proxy;

pub(crate) type Piece = Result<Frame<Bytes>, std::io::Error>;

/// A body that ends when its sender is dropped.
pub(crate) fn channel() -> (Sender<Piece>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = unfold(receiver, |mut receiver: Receiver<Piece>| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let pieces: Pin<Box<dyn Stream<Item = Piece> + Send + Sync>> = Box::pin(pieces);
    (sender, BodyExt::boxed(StreamBody::new(pieces)))
}

pub(crate) fn data(text: &'static str) -> Piece {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

pub(crate) async fn next(body: &mut Incoming) -> Frame<Bytes> {
    timeout(LIMIT, body.frame()).await.expect("no piece in time").unwrap().unwrap()
}

/// Answers every request with one body that the test feeds.
pub(crate) async fn streaming_app(
    headers: &'static [(&'static str, &'static str)],
) -> (Application, Receiver<Sender<Piece>>) {
    let (bodies, opened) = mpsc::channel(8);
    let app = Application::serve(move |_| {
        let bodies = bodies.clone();
        async move {
            let (sender, body) = channel();
            bodies.send(sender).await.unwrap();
            let mut response = Response::new(body);
            for (name, value) in headers {
                response.headers_mut().append(*name, value.parse().unwrap());
            }
            response
        }
    })
    .await;
    (app, opened)
}

#[tokio::test]
async fn a_piece_of_a_response_arrives_before_the_next_is_sent() {
    for content_type in ["text/event-stream", "application/json"] {
        let headers: &[_] = Box::leak(Box::new([("content-type", content_type)]));
        let (app, mut opened) = streaming_app(headers).await;
        let proxy = Proxy::start().await;
        proxy.switch(1, &[app.target()]).await;
        let mut client = Client::connect(proxy.address).await;
        let mut body = client.send(get("/")).await.unwrap().into_body();
        let feed = opened.recv().await.unwrap();
        for piece in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            feed.send(data(piece)).await.unwrap();
            assert_eq!(next(&mut body).await.into_data().unwrap(), piece);
        }
        assert_eq!(proxy.status().await.active.unwrap().targets[0].in_flight, 1);
        drop(feed);
        assert!(timeout(LIMIT, body.frame()).await.unwrap().is_none());
        proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
    }
}

#[tokio::test]
async fn a_piece_of_a_request_arrives_before_the_next_is_sent() {
    let (arrived, mut arrivals) = mpsc::channel(8);
    let app = Application::serve(move |request: Request<Incoming>| {
        let arrived = arrived.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                arrived.send(frame.unwrap().into_data().unwrap()).await.unwrap();
            }
            text(StatusCode::OK, "done")
        }
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let (feed, body) = channel();
    let mut client = Client::connect(proxy.address).await;
    let upload = Request::post("/").header("host", "a").body(body).unwrap();
    let sending = tokio::spawn(async move { client.send(upload).await.unwrap().status() });
    for piece in ["one", "two", "three"] {
        feed.send(data(piece)).await.unwrap();
        assert_eq!(timeout(LIMIT, arrivals.recv()).await.unwrap().unwrap(), piece);
    }
    drop(feed);
    assert_eq!(timeout(LIMIT, sending).await.unwrap().unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn trailers_are_kept_in_both_directions() {
    let app = Application::serve(|request: Request<Incoming>| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let collected = request.into_body().collect().await.unwrap();
        let digest = collected.trailers().unwrap()["digest"].clone();
        let (feed, body) = channel();
        tokio::spawn(async move {
            feed.send(data("body")).await.unwrap();
            let trailers = HeaderMap::from_iter([("digest".parse().unwrap(), digest)]);
            feed.send(Ok(Frame::trailers(trailers))).await.unwrap();
        });
        Response::builder().header("trailer", "digest").body(body).unwrap()
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let sent = "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntrailer: digest\r\nconnection: te, close\r\n\
                transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\ndigest: abc\r\n\r\n";
    let answer = raw(proxy.address, sent, None).await;
    assert!(answer.contains("4\r\nbody\r\n0\r\ndigest: abc\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_when_the_application_wants_the_body() {
    let app = Application::serve(|request: Request<Incoming>| async move {
        if request.uri().path() == "/refused" {
            return text(StatusCode::UNAUTHORIZED, "no");
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text(StatusCode::OK, body)
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
        )
    };

    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(head("/wanted").as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut stream, Some("\r\n\r\n")).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let answer = read_until(&mut stream, None).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nbody"), "{answer}");

    let answer = raw(proxy.address, &head("/refused"), None).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.ends_with("no"), "{answer}");
}

#[tokio::test]
async fn a_response_that_the_application_breaks_off_is_broken_off_for_the_client_and_counted() {
    let (app, mut opened) = streaming_app(&[]).await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    let mut body = client.send(get("/")).await.unwrap().into_body();
    let feed = opened.recv().await.unwrap();
    feed.send(data("one")).await.unwrap();
    assert_eq!(next(&mut body).await.into_data().unwrap(), "one");
    feed.send(Err(std::io::Error::other("broken"))).await.unwrap();
    assert!(timeout(LIMIT, body.frame()).await.unwrap().unwrap().is_err());
    let status = proxy.until(|status| status.active.as_ref().unwrap().proxy_errors == 1).await;
    assert_eq!(status.active.unwrap().requests, 1);
}

#[tokio::test]
async fn a_client_that_goes_away_lets_the_application_know() {
    let (app, mut opened) = streaming_app(&[]).await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    let body = client.send(get("/")).await.unwrap().into_body();
    let feed = opened.recv().await.unwrap();
    feed.send(data("one")).await.unwrap();
    drop((client, body));
    timeout(LIMIT, feed.closed()).await.expect("the application still sends to nobody");
    proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
}
