//! Displaced targets with requests, streams and upgraded connections in flight.

use std::sync::Arc;

use cutover_control::{Request, ServiceStatus, Switch, TargetStatus};
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::application::{Application, text};
use crate::caller::{LIMIT, switch};
use crate::client::{Client, get, get_once, read_until};
use crate::proxy::Proxy;
use crate::streaming::{Piece, channel, data, next, streaming_app};
use crate::upgrade::{change, says_back, upgraded};

/// A proxy with one application that has one of each kind in flight.
struct Busy {
    proxy: Proxy,
    old: Application,
    new: Application,
    /// Lets the application answer.
    gate: Arc<Semaphore>,
    request: JoinHandle<(StatusCode, String)>,
    feed: mpsc::Sender<Piece>,
    events: Incoming,
    socket: TcpStream,
    _client: Client,
}

impl Busy {
    async fn start() -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let (bodies, mut opened) = mpsc::channel(1);
        let held = Arc::clone(&gate);
        let old = Application::serve(move |request: hyper::Request<Incoming>| {
            let (bodies, held) = (bodies.clone(), Arc::clone(&held));
            async move {
                match request.uri().path() {
                    "/cable" => change(request),
                    "/events" => {
                        let (feed, body) = channel();
                        bodies.send(feed).await.unwrap();
                        let kind = "text/event-stream; charset=utf-8";
                        Response::builder().header("content-type", kind).body(body).unwrap()
                    }
                    _ => {
                        held.acquire().await.unwrap().forget();
                        text(StatusCode::OK, "old")
                    }
                }
            }
        })
        .await;
        let new = Application::named("new").await;
        let proxy = Proxy::start().await;
        proxy.switch(1, &[old.target()]).await;
        let address = proxy.address;
        let request = tokio::spawn(async move { get_once(address, "a").await });
        let mut client = Client::connect(address).await;
        let events = client.send(get("/events")).await.unwrap().into_body();
        let feed = opened.recv().await.unwrap();
        let socket = upgraded(&proxy).await;
        proxy.until(|status| kinds(&status.active.as_ref().unwrap().targets[0]) == (1, 1, 1)).await;
        Self { proxy, old, new, gate, request, feed, events, socket, _client: client }
    }

    async fn displace(&self, drain_ms: u64, drain_streams_ms: u64) {
        let drain_streams_ms = Some(drain_streams_ms);
        let switch = Switch { drain_ms, drain_streams_ms, ..switch(2, &[self.new.target()]) };
        self.proxy.call(Request::Switch(Box::new(switch))).await.unwrap();
    }

    /// The stream and the upgraded connection still work.
    async fn others_go_on(&mut self) {
        self.feed.send(data("data: one\n\n")).await.unwrap();
        assert_eq!(next(&mut self.events).await.into_data().unwrap(), "data: one\n\n");
        says_back(&mut self.socket, "still here").await;
    }
}

fn kinds(target: &TargetStatus) -> (u64, u64, u64) {
    (target.requests(), target.streams, target.upgraded)
}

fn displaced(wished: (u64, u64, u64)) -> impl Fn(&ServiceStatus) -> bool {
    move |status| kinds(&status.previous.as_ref().unwrap().targets[0]) == wished
}

#[tokio::test]
async fn requests_are_cut_after_their_time_while_streams_and_upgraded_connections_have_their_own() {
    let mut busy = Busy::start().await;
    busy.displace(200, 600_000).await;
    let draining = timeout(LIMIT, &mut busy.request).await.unwrap().unwrap();
    assert_eq!(draining.0, StatusCode::GATEWAY_TIMEOUT);
    busy.proxy.until(displaced((0, 1, 1))).await;
    busy.others_go_on().await;

    let Busy { proxy, feed, socket, .. } = busy;
    drop((feed, socket));
    proxy.until(displaced((0, 0, 0))).await;
    let status = proxy.until(|status| status.previous.as_ref().unwrap().drained == 2).await;
    assert_eq!(status.previous.unwrap().cut, [1, 0, 0]);
}

#[tokio::test]
async fn streams_and_upgraded_connections_are_cut_after_their_time_while_a_request_has_its_own() {
    let mut busy = Busy::start().await;
    busy.displace(600_000, 200).await;
    assert!(
        timeout(LIMIT, http_body_util::BodyExt::frame(&mut busy.events)).await.unwrap().unwrap().is_err()
    );
    assert_eq!(read_until(&mut busy.socket, None).await, "");
    busy.proxy.until(displaced((1, 0, 0))).await;
    busy.gate.add_permits(1);
    assert_eq!(timeout(LIMIT, busy.request).await.unwrap().unwrap(), (StatusCode::OK, "old".to_owned()));
    let status = busy.proxy.until(|status| status.previous.as_ref().unwrap().drained == 1).await;
    assert_eq!(status.previous.unwrap().cut, [0, 1, 1]);
}

#[tokio::test]
async fn a_retire_says_what_of_each_kind_is_waited_for() {
    let mut busy = Busy::start().await;
    busy.displace(600_000, 600_000).await;
    let (_, draining) = busy.proxy.retire(2, "d2").await.unwrap();
    assert_eq!(draining.iter().map(kinds).collect::<Vec<_>>(), [(1, 1, 1)]);
    assert_eq!(draining[0].in_flight, 3);
    busy.others_go_on().await;
    let Busy { proxy, gate, request, feed, socket, .. } = busy;
    gate.add_permits(1);
    assert_eq!(timeout(LIMIT, request).await.unwrap().unwrap(), (StatusCode::OK, "old".to_owned()));
    // The client has the answer a moment before the proxy notes its end.
    proxy.until(|status| kinds(&status.draining[0].targets[0]) == (0, 1, 1)).await;
    let (_, draining) = proxy.retire(2, "d2").await.unwrap();
    assert_eq!(draining.iter().map(kinds).collect::<Vec<_>>(), [(0, 1, 1)]);
    drop((feed, socket));
    proxy.until(|status| status.draining.is_empty()).await;
    assert_eq!(proxy.retire(2, "d2").await.unwrap().1, []);
}

#[tokio::test]
async fn a_restore_after_the_requests_were_cut_serves_again_and_the_streams_go_on() {
    let mut busy = Busy::start().await;
    busy.displace(200, 600_000).await;
    timeout(LIMIT, &mut busy.request).await.unwrap().unwrap();
    assert_eq!(busy.proxy.restore(3, "d2").await.unwrap().as_deref(), Some("d1"));
    busy.gate.add_permits(1);
    assert_eq!(get_once(busy.proxy.address, "a").await, (StatusCode::OK, "old".to_owned()));
    busy.others_go_on().await;
    let status = busy.proxy.status().await;
    assert_eq!(status.draining.iter().map(|set| kinds(&set.targets[0])).collect::<Vec<_>>(), [(0, 1, 1)]);
    assert_eq!(status.active.unwrap().targets[0].address, busy.old.address);
}

#[tokio::test]
async fn a_response_that_goes_on_for_a_while_becomes_a_stream() {
    let (app, mut opened) = streaming_app(&[("content-length", "6")]).await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    let mut body = client.send(get("/")).await.unwrap().into_body();
    let feed = opened.recv().await.unwrap();
    feed.send(data("one")).await.unwrap();
    next(&mut body).await;
    let of = |status: &ServiceStatus| kinds(&status.active.as_ref().unwrap().targets[0]);
    assert_eq!(of(&proxy.status().await), (1, 0, 0));
    proxy.until(|status| of(status) == (0, 1, 0)).await;
    feed.send(data("two")).await.unwrap();
    assert_eq!(next(&mut body).await.into_data().unwrap(), "two");
    proxy.until(|status| of(status) == (0, 0, 0)).await;
}
