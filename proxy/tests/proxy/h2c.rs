//! Applications that speak HTTP/2 without TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use cutover_control::{HealthCheck, Refusal, Switch};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::application::{Application, target, text};
use crate::caller::{LIMIT, key};
use crate::client::{Client, get, get_once, request};
use crate::http2::connect;
use crate::http2_application::{Http2Application, h2c_switch};
use crate::proxy::Proxy;

#[tokio::test]
async fn requests_of_all_clients_share_a_connection_and_come_as_http_2() {
    let app = Http2Application::serve(|request: Request<Incoming>| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        for name in ["host", "connection", "transfer-encoding", "keep-alive", "upgrade"] {
            assert!(!request.headers().contains_key(name), "{name}");
        }
        let te = request.headers().get("te").map_or("none", |te| te.to_str().unwrap()).to_owned();
        let head = format!("{} {} te={te}", request.method(), request.uri());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text(StatusCode::OK, format!("{head} {}", String::from_utf8_lossy(&body)))
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[app.target()]).await;
    let answers = join_all((0..20).map(async |number| {
        let mut asking = request(Method::POST, "app.example:8080", &format!("/{number}?q"), "body");
        for (name, value) in [("te", "trailers"), ("connection", "te, keep-alive"), ("keep-alive", "a=1")] {
            asking.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        (number, Client::connect(proxy.address).await.ask(asking).await.unwrap())
    }));
    for (number, answer) in answers.await {
        let said = format!("POST http://app.example:8080/{number}?q te=trailers body");
        assert_eq!(answer, (StatusCode::OK, said));
    }
    // One for each worker of the proxy at most.
    assert!(app.connections() <= 2, "{} connections", app.connections());
    let said = get_once(proxy.address, "a").await;
    assert_eq!(said, (StatusCode::OK, "GET http://a/ te=none ".to_owned()));
}

/// Clients that ask without a pause, by turns of all kinds; each answer must be "app".
struct Crowd {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Crowd {
    fn gather(address: SocketAddr) -> Self {
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for number in 0..8 {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            clients.spawn(async move {
                let mut http1 = Client::connect(address).await;
                let mut http2 = connect(address).await;
                while !over.load(Relaxed) {
                    let got = if number % 4 < 2 {
                        http1.ask(asking(number)).await.unwrap()
                    } else {
                        let response = http2.send_request(asking(number)).await.unwrap();
                        (response.status(), crate::client::read(response).await.unwrap())
                    };
                    assert_eq!(got, (StatusCode::OK, "app".to_owned()));
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
        Self { over, answered, clients }
    }

    /// Waits until so many more requests are answered.
    async fn go_on(&self, count: u64) {
        let enough = self.answered.load(Relaxed) + count;
        let answering = async {
            while self.answered.load(Relaxed) < enough {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, answering).await.unwrap();
    }

    async fn leave(mut self) {
        self.over.store(true, Relaxed);
        while let Some(client) = timeout(LIMIT, self.clients.join_next()).await.unwrap() {
            client.unwrap();
        }
    }
}

fn asking(number: u32) -> Request<Full<Bytes>> {
    let (method, body) =
        if number.is_multiple_of(2) { (Method::GET, "") } else { (Method::POST, "some body") };
    let uri = if number % 4 < 2 { "/" } else { "http://a/" };
    let asking = Request::builder().method(method).uri(uri);
    let asking = if number % 4 < 2 { asking.header("host", "a") } else { asking };
    asking.body(Full::new(Bytes::from(body))).unwrap()
}

/// Until nothing is in flight on what was displaced: then it may go at once, connections and all.
async fn retire(proxy: &Proxy, sequence: u64) {
    let retired = async {
        while !proxy.retire(sequence, &format!("d{sequence}")).await.unwrap().1.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, retired).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_a_service_goes_from_http_1_to_http_2_and_back() {
    let proxy = Proxy::start().await;
    let mut http1 = Application::named("app").await;
    proxy.switch(1, &[http1.target()]).await;
    let crowd = Crowd::gather(proxy.address);
    for sequence in [2, 4, 6] {
        let http2 = Http2Application::named("app").await;
        proxy.switch_to_h2c(sequence, &[http2.target()]).await;
        retire(&proxy, sequence).await;
        drop(http1);
        crowd.go_on(50).await;
        http1 = Application::named("app").await;
        proxy.switch(sequence + 1, &[http1.target()]).await;
        retire(&proxy, sequence + 1).await;
        drop(http2);
        crowd.go_on(50).await;
    }
    crowd.leave().await;
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.proxy_errors, active.server_errors), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_the_application_closes_its_connections_in_mid_load() {
    let app = Http2Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[app.target()]).await;
    let crowd = Crowd::gather(proxy.address);
    for _ in 0..30 {
        crowd.go_on(30).await;
        app.say_farewell();
    }
    crowd.leave().await;
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.proxy_errors, active.server_errors, active.ejections), (0, 0, 0));
}

#[tokio::test]
async fn what_the_application_has_not_processed_is_sent_again_with_all_of_its_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Refuses the first two requests once their body has come, and answers the third with what it got.
    let app = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut refused = 0;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let mut body = request.into_body();
            let refuses = refused < 2;
            refused += 1;
            tokio::spawn(async move {
                let mut got = Vec::new();
                while got.len() < 9 {
                    let piece = body.data().await.unwrap().unwrap();
                    body.flow_control().release_capacity(piece.len()).unwrap();
                    got.extend(piece);
                }
                if refuses {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                } else {
                    assert!(body.data().await.is_none(), "more came");
                    let mut answer = respond.send_response(Response::new(()), false).unwrap();
                    answer.send_data(got.into(), true).unwrap();
                }
            });
        }
    });
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[target(address)]).await;
    let mut client = Client::connect(proxy.address).await;
    let answer = client.ask(request(Method::POST, "a", "/", "some body")).await.unwrap();
    assert_eq!(answer, (StatusCode::OK, "some body".to_owned()));
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.retries, active.proxy_errors), (2, 0));
    app.abort();
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again_unless_that_does_no_harm() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    // Closes each connection as soon as a request has come, without a word.
    let app = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            connection.accept().await.unwrap().unwrap();
            counted.fetch_add(1, Relaxed);
        }
    });
    let other = Http2Application::named("other").await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[target(address)]).await;
    let mut client = Client::connect(proxy.address).await;
    let (status, _) = client.ask(request(Method::POST, "a", "/", "some body")).await.unwrap();
    assert_eq!((status, asked.load(Relaxed)), (StatusCode::BAD_GATEWAY, 1));
    proxy.switch_to_h2c(2, &[target(address), other.target()]).await;
    for _ in 0..2 {
        assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "other".to_owned()));
    }
    app.abort();
}

#[tokio::test]
async fn an_application_that_refuses_everything_is_left_for_another_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
    let other = Http2Application::named("other").await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[target(address), other.target()]).await;
    for _ in 0..8 {
        let asking = request(Method::POST, "a", "/", "some body");
        let answer = Client::connect(proxy.address).await.ask(asking).await.unwrap();
        assert_eq!(answer, (StatusCode::OK, "other".to_owned()));
    }
    assert_eq!(proxy.status().await.active.unwrap().proxy_errors, 0);
    app.abort();
}

#[tokio::test]
async fn more_requests_than_the_application_takes_on_a_connection_get_another_one() {
    let (asked, mut asks) = mpsc::channel(8);
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let app = Http2Application::serve_limited(2, move |_| {
        let (asked, held) = (asked.clone(), Arc::clone(&held));
        async move {
            asked.send(()).await.unwrap();
            held.acquire().await.unwrap().forget();
            text(StatusCode::OK, "app")
        }
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[app.target()]).await;
    let mut clients = JoinSet::new();
    for _ in 0..7 {
        let address = proxy.address;
        clients.spawn(async move { get_once(address, "a").await });
        timeout(LIMIT, asks.recv()).await.expect("it waits behind others");
    }
    assert!((4..=5).contains(&app.connections()), "{} connections", app.connections());
    gate.add_permits(7);
    while let Some(answer) = clients.join_next().await {
        assert_eq!(answer.unwrap(), (StatusCode::OK, "app".to_owned()));
    }
}

#[tokio::test]
async fn health_is_asked_for_by_http_2() {
    let app = Http2Application::named("app").await;
    let other = Application::named("app").await;
    let proxy = Proxy::start().await;
    let health = Some(HealthCheck::new("/up", 10, 1_000));
    let checked = |sequence, target| {
        let switch = Switch { health: health.clone(), ..h2c_switch(sequence, &[target]) };
        proxy.call(cutover_control::Request::Switch(Box::new(switch)))
    };
    checked(1, app.target()).await.unwrap();
    let refused = checked(2, other.target()).await.unwrap_err();
    assert!(matches!(refused, Refusal::Unready { .. }), "{refused:?}");
    assert_eq!(proxy.status().await.key, key());
    drop(app);
    proxy.until(|status| !status.active.as_ref().unwrap().targets[0].healthy).await;
}

#[tokio::test]
async fn a_request_for_another_protocol_is_answered_without_it() {
    let app = Http2Application::named("app").await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[app.target()]).await;
    let mut asking = get("/");
    for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
        asking.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let answer = Client::connect(proxy.address).await.ask(asking).await.unwrap();
    assert_eq!(answer, (StatusCode::OK, "app".to_owned()));
}
