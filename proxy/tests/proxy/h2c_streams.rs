//! What streams to and from applications that speak HTTP/2 without TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use cutover_control::Switch;
use futures_util::{FutureExt, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::application::text;
use crate::caller::LIMIT;
use crate::client::{Client, get, get_once, request};
use crate::http2::connect;
use crate::http2_application::{Http2Application, h2c_switch};
use crate::proxy::Proxy;

/// Bodies that are larger than any window: so many pieces of so many bytes.
const MANY: u64 = 4096;
const PIECE: usize = 16 << 10;

/// A body of so many pieces that counts those which were taken.
fn pieces(count: u64, taken: Arc<AtomicU64>) -> BoxBody<Bytes, std::io::Error> {
    let frames = futures_util::stream::iter(0..count).map(move |_| {
        taken.fetch_add(1, Relaxed);
        Ok(Frame::data(Bytes::from_static(&[7; PIECE])))
    });
    BodyExt::boxed(StreamBody::new(frames))
}

/// Waits until a count stands still, and gives it.
async fn standstill(count: &AtomicU64) -> u64 {
    let standing = async {
        loop {
            let before = count.load(Relaxed);
            sleep(Duration::from_millis(300)).await;
            if before > 0 && count.load(Relaxed) == before {
                return before;
            }
        }
    };
    timeout(LIMIT, standing).await.expect("it never stood still")
}

async fn length(mut body: Incoming) -> u64 {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().data_ref().map_or(0, |data| data.len() as u64);
    }
    length
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_holds_the_application_back() {
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let app = Http2Application::serve(move |_| {
        let counted = Arc::clone(&counted);
        async move { Response::new(pieces(MANY, counted)) }
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    let response = client.send(get("/")).await.unwrap();
    let before = standstill(&taken).await;
    assert!(before < MANY / 2, "{before} pieces were taken though nobody reads");
    assert_eq!(timeout(LIMIT, length(response.into_body())).await.unwrap(), MANY * PIECE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_reads_slowly_holds_the_client_back() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let app = Http2Application::serve(move |request: Request<Incoming>| {
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.unwrap().forget();
            text(StatusCode::OK, length(request.into_body()).await.to_string())
        }
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[app.target()]).await;
    let taken = Arc::new(AtomicU64::new(0));
    let mut client = connect(proxy.address).await;
    let asking = Request::post("http://a/").body(pieces(MANY, Arc::clone(&taken))).unwrap();
    let answering = tokio::spawn(async move { client.send_request(asking).await.unwrap() });
    let before = standstill(&taken).await;
    assert!(before < MANY / 2, "{before} pieces were taken though nobody reads");
    gate.add_permits(1);
    let answer = timeout(LIMIT, answering).await.unwrap().unwrap();
    assert_eq!(crate::client::read(answer).await.unwrap(), (MANY * PIECE as u64).to_string());
}

/// Says when it is gone.
struct Guard(mpsc::UnboundedSender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

/// An application that never ends an answer, says when it is asked, and when an answer that it is about to give is cancelled; asked for
/// `/head` it begins one.
async fn endless() -> (Http2Application, mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<()>) {
    let (asked, asks) = mpsc::unbounded_channel();
    let (gone, goes) = mpsc::unbounded_channel();
    let app = Http2Application::serve(move |request: Request<Incoming>| {
        let (asked, guard) = (asked.clone(), Guard(gone.clone()));
        async move {
            asked.send(()).unwrap();
            if request.uri().path() != "/head" {
                std::future::pending::<()>().await;
            }
            let endless = futures_util::stream::pending().map(move |frame| {
                let _ = &guard;
                Ok::<_, std::io::Error>(frame)
            });
            let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from("first")))]);
            Response::new(BodyExt::boxed(StreamBody::new(first.chain(endless))))
        }
    })
    .await;
    (app, asks, goes)
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_request_of_the_application() {
    let (app, mut asks, mut goes) = endless().await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[app.target()]).await;
    for path in ["/", "/head"] {
        // One that has sent all, one that goes on sending, and one of HTTP/1.1.
        let mut client = connect(proxy.address).await;
        let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed();
        let sending = client.send_request(Request::get(format!("http://a{path}")).body(body).unwrap());
        leave(sending, path, &mut asks, &mut goes).await;

        let (held, hold) = oneshot::channel::<()>();
        let broken = hold.map(|_| Err(std::io::Error::other("the client goes")));
        let body = BodyExt::boxed(StreamBody::new(broken.into_stream()));
        let sending = client.send_request(Request::post(format!("http://a{path}")).body(body).unwrap());
        // What is still being sent keeps the stream open.
        leave(sending.map(|answer| answer.map(|answer| (answer, held))), path, &mut asks, &mut goes).await;

        let mut http1 = Client::connect(proxy.address).await;
        leave(
            async move { http1.send(get(path)).await.map(|answer| (answer, http1)) },
            path,
            &mut asks,
            &mut goes,
        )
        .await;
    }
    proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
}

/// Gives up a request once the application is asked, or once it has begun to answer; the application must hear of it.
async fn leave<T: Send + 'static>(
    sending: impl Future<Output = hyper::Result<T>> + Send + 'static,
    path: &str,
    asks: &mut mpsc::UnboundedReceiver<()>,
    goes: &mut mpsc::UnboundedReceiver<()>,
) {
    let sending = tokio::spawn(sending);
    timeout(LIMIT, asks.recv()).await.expect("it was not asked");
    if path == "/head" {
        drop(timeout(LIMIT, sending).await.unwrap().unwrap().unwrap());
    } else {
        sending.abort();
    }
    timeout(LIMIT, goes.recv()).await.expect("the application was not told");
}

#[tokio::test]
async fn the_end_of_a_drain_ends_streams_and_connections() {
    let (old, mut asks, mut goes) = endless().await;
    let new = Http2Application::named("new").await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[old.target()]).await;
    let mut client = connect(proxy.address).await;
    let body = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
    let answer = client
        .send_request(Request::post("http://a/head").body(BodyExt::boxed(body)).unwrap())
        .await
        .unwrap();
    asks.recv().await.unwrap();
    let next = Switch { drain_ms: 1, ..h2c_switch(2, &[new.target()]) };
    proxy.call(cutover_control::Request::Switch(Box::new(next))).await.unwrap();
    assert!(timeout(LIMIT, answer.into_body().collect()).await.unwrap().is_err());
    timeout(LIMIT, goes.recv()).await.expect("the application was not told");
    let closed = async {
        while old.connections() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, closed).await.expect("a connection stays open");
}

#[tokio::test]
async fn what_is_displaced_finishes_its_streams_and_then_has_no_connection() {
    let (asked, mut asks) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let old = Http2Application::serve(move |_| {
        let (asked, held) = (asked.clone(), Arc::clone(&held));
        async move {
            asked.send(()).unwrap();
            held.acquire().await.unwrap().forget();
            text(StatusCode::OK, "old")
        }
    })
    .await;
    let new = Http2Application::named("new").await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[old.target()]).await;
    let address = proxy.address;
    let waiting = tokio::spawn(async move { get_once(address, "a").await });
    timeout(LIMIT, asks.recv()).await.unwrap();
    proxy.switch_to_h2c(2, &[new.target()]).await;
    assert_eq!(get_once(address, "a").await.1, "new");
    assert_eq!(old.connections(), 1);
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), (StatusCode::OK, "old".to_owned()));
    let closed = async {
        while old.connections() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, closed).await.expect("a connection stays open");
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_413_and_one_that_is_held_for_100_is_asked_for() {
    let app = Http2Application::named("app").await;
    let proxy = Proxy::start().await;
    let limited = Switch { max_request_body: Some(1_000), ..h2c_switch(1, &[app.target()]) };
    proxy.call(cutover_control::Request::Switch(Box::new(limited))).await.unwrap();
    let mut client = connect(proxy.address).await;
    let asking = Request::post("http://a/").body(pieces(1, Arc::default())).unwrap();
    assert_eq!(client.send_request(asking).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let mut asking = request(Method::POST, "a", "/", "body");
    asking.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
    let answer = Client::connect(proxy.address).await.ask(asking).await.unwrap();
    assert_eq!(answer, (StatusCode::OK, "app".to_owned()));
}
