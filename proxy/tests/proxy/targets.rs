//! Several targets, broken targets, slow targets, targets that close connections at the worst moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cutover_control::{HealthCheck, Refusal, Request};
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::application::{Application, nobody, target, text};
use crate::caller::{LIMIT, switch};
use crate::client::{Client, get, get_once, request};
use crate::proxy::Proxy;

#[tokio::test]
async fn equal_targets_share_the_requests() {
    let apps = [Application::named("a").await, Application::named("b").await, Application::named("c").await];
    let proxy = Proxy::start().await;
    proxy.switch(1, &apps.each_ref().map(Application::target)).await;
    for _ in 0..30 {
        get_once(proxy.address, "a").await;
    }
    assert_eq!(apps.each_ref().map(Application::requests), [10, 10, 10]);
}

#[tokio::test]
async fn a_request_that_met_no_listener_goes_to_another_target_body_and_all() {
    let app = Application::serve(|request: hyper::Request<Incoming>| async move {
        use http_body_util::BodyExt;
        text(StatusCode::OK, request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    let dead = nobody().await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(dead), app.target()]).await;
    let mut client = Client::connect(proxy.address).await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
        for _ in 0..4 {
            let got = client.ask(request(method.clone(), "a", "/", "body")).await.unwrap();
            assert_eq!(got, (StatusCode::OK, "body".to_owned()));
        }
    }
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.requests, active.proxy_errors), (16, 0));
}

#[tokio::test]
async fn without_another_target_the_client_reads_502_and_it_is_counted_apart() {
    let dead = nobody().await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(dead)]).await;
    let (status, text) = get_once(proxy.address, "a").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{text}");
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.requests, active.server_errors, active.proxy_errors), (1, 0, 1));
}

#[tokio::test]
async fn a_target_that_fails_its_check_leaves_the_rotation_and_comes_back() {
    let up = Arc::new(AtomicBool::new(true));
    let answers = Arc::clone(&up);
    let sick = Application::serve(move |request: hyper::Request<Incoming>| {
        let up = answers.load(Relaxed);
        async move {
            match request.uri().path() {
                "/up" if !up => text(StatusCode::SERVICE_UNAVAILABLE, "down"),
                "/up" => text(StatusCode::OK, "up"),
                _ => text(StatusCode::OK, "sick"),
            }
        }
    })
    .await;
    let well = Application::named("well").await;
    let proxy = Proxy::start().await;
    let mut watched = switch(1, &[sick.target(), well.target()]);
    watched.health = Some(HealthCheck::new("/up", 10, 5_000));
    proxy.call(Request::Switch(Box::new(watched))).await.unwrap();
    let healthy = |wished: [bool; 2]| {
        move |status: &cutover_control::ServiceStatus| {
            let targets = &status.active.as_ref().unwrap().targets;
            targets.iter().map(|target| target.healthy).eq(wished)
        }
    };
    up.store(false, Relaxed);
    proxy.until(healthy([false, true])).await;
    for _ in 0..10 {
        assert_eq!(get_once(proxy.address, "a").await.1, "well");
    }
    up.store(true, Relaxed);
    proxy.until(healthy([true, true])).await;
    let names = [get_once(proxy.address, "a").await.1, get_once(proxy.address, "a").await.1];
    assert!(names.contains(&"sick".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_target_that_flaps_is_down_and_up_only_after_so_many_answers_in_a_row() {
    let (answers, mut asked) = mpsc::channel::<oneshot::Sender<StatusCode>>(1);
    let app = Application::serve(move |_| {
        let answers = answers.clone();
        async move {
            let (answer, status) = oneshot::channel();
            answers.send(answer).await.unwrap();
            text(status.await.unwrap(), "")
        }
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let check = HealthCheck { failures: 3, successes: 2, ..HealthCheck::new("/up", 1, 20_000) };
    let watched = cutover_control::Switch { health: Some(check), ..switch(1, &[app.target()]) };
    proxy.call(Request::Switch(Box::new(watched))).await.unwrap();
    let mut next = asked.recv().await.unwrap();
    // What a check finds, and how the target then stands.
    for (well, healthy) in [
        (false, true),
        (false, true),
        (true, true),
        (false, true),
        (false, true),
        (false, false),
        (true, false),
        (false, false),
        (true, false),
        (true, true),
    ] {
        next.send(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }).unwrap();
        // The next check begins once what this one has found is known.
        next = timeout(LIMIT, asked.recv()).await.unwrap().unwrap();
        assert_eq!(proxy.status().await.active.unwrap().targets[0].healthy, healthy, "{well}");
    }
}

#[tokio::test]
async fn the_check_before_the_first_request_has_a_limit_of_its_own() {
    let app = Application::serve(|_| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        text(StatusCode::OK, "")
    })
    .await;
    let proxy = Proxy::start().await;
    let with = |timeout_ms, first| {
        let usual = HealthCheck::new("/up", 60_000, timeout_ms);
        let check = HealthCheck { first_timeout_ms: Some(first), failures: 1_000, ..usual };
        cutover_control::Switch { health: Some(check), ..switch(1, &[app.target()]) }
    };
    let refused = proxy.switch_as(with(20_000, 1)).await;
    assert!(matches!(refused, Err(Refusal::Unready { .. })), "{refused:?}");
    proxy.switch_as(with(1, 20_000)).await.unwrap();
}

#[tokio::test]
async fn when_all_are_down_all_are_still_used() {
    let app = Application::serve(|request: hyper::Request<Incoming>| async move {
        let wrong = request.uri().path() == "/wrong";
        text(if wrong { StatusCode::NOT_FOUND } else { StatusCode::OK }, "served")
    })
    .await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[app.target()]).await;
    let mut watched = switch(1, &[app.target()]);
    watched.health = Some(HealthCheck::new("/wrong", 5, 5_000));
    proxy.call(Request::Switch(Box::new(watched))).await.unwrap();
    proxy.until(|status| !status.active.as_ref().unwrap().targets[0].healthy).await;
    assert_eq!(get_once(proxy.address, "a").await.1, "served");
}

#[tokio::test]
async fn an_application_that_does_not_answer_in_time_is_a_504_but_a_long_upload_is_not() {
    let app = Application::serve(|request: hyper::Request<Incoming>| async move {
        use http_body_util::BodyExt;
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        let length = request.into_body().collect().await.unwrap().to_bytes().len();
        text(StatusCode::OK, length.to_string())
    })
    .await;
    let proxy = Proxy::start().await;
    let mut impatient = switch(1, &[app.target()]);
    impatient.timeouts.response_ms = 400;
    proxy.call(Request::Switch(Box::new(impatient))).await.unwrap();
    let mut client = Client::connect(proxy.address).await;
    assert_eq!(client.ask(get("/never")).await.unwrap().0, StatusCode::GATEWAY_TIMEOUT);

    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\n")
        .await
        .unwrap();
    for _ in 0..10 {
        sleep(Duration::from_millis(100)).await;
        stream.write_all(b"x").await.unwrap();
    }
    let answer = crate::client::read_until(&mut stream, None).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("10"), "{answer}");
}

/// Answers in raw HTTP and closes each connection without a word after one to four responses, between nothing and a
/// millisecond after the last.
async fn fickle(served: Arc<AtomicU64>) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        while let Ok((stream, _)) = listener.accept().await {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (responses, pause) = (1 + random % 4, Duration::from_micros(random >> 8 & 0x3ff));
            connections.spawn(answer_and_leave(stream, responses, pause, Arc::clone(&served)));
            while connections.try_join_next().is_some() {}
        }
    });
    (address, AbortOnDropHandle::new(serving))
}

async fn answer_and_leave(mut stream: TcpStream, responses: u64, pause: Duration, served: Arc<AtomicU64>) {
    stream.set_nodelay(true).unwrap();
    for _ in 0..responses {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        if head.starts_with(b"POST") {
            let mut body = [0; 9];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
        }
        served.fetch_add(1, Relaxed);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
    sleep(pause).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_application_closes_at_any_moment_fail_no_request() {
    const CLIENTS: u64 = 16;
    const EACH: u64 = 400;
    let served = Arc::new(AtomicU64::new(0));
    let (address, _serving) = fickle(Arc::clone(&served)).await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(address)]).await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let address = proxy.address;
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            for round in 0..EACH {
                let posts = (number + round) % 3 == 0;
                let (method, body) = if posts { (Method::POST, "some body") } else { (Method::GET, "") };
                let got = client.ask(request(method, "a", "/", body)).await.unwrap();
                assert_eq!(got, (StatusCode::OK, "ok".to_owned()));
            }
        });
    }
    while let Some(client) = timeout(LIMIT, clients.join_next()).await.unwrap() {
        client.unwrap();
    }
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.requests, active.proxy_errors), (CLIENTS * EACH, 0));
    assert!(served.load(Relaxed) >= CLIENTS * EACH);
}

#[tokio::test]
async fn a_target_that_hangs_up_without_an_answer_costs_no_idempotent_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken = target(listener.local_addr().unwrap());
    let _serving = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    }));
    let app = Application::named("one").await;
    let proxy = Proxy::start().await;
    proxy.switch(1, &[broken, app.target()]).await;
    for _ in 0..10 {
        assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "one".to_owned()));
    }
}

#[tokio::test]
async fn kept_connections_are_used_again() {
    let connections = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counted = Arc::clone(&connections);
    let _serving = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Relaxed);
            open.spawn(answer_and_leave(stream, u64::MAX, Duration::ZERO, Arc::default()));
        }
    }));
    let proxy = Proxy::start().await;
    proxy.switch(1, &[target(address)]).await;
    let mut client = Client::connect(proxy.address).await;
    for _ in 0..50 {
        assert_eq!(client.ask(get("/")).await.unwrap().0, StatusCode::OK);
    }
    assert_eq!(connections.load(Relaxed), 1);
}

#[tokio::test]
async fn what_fails_its_health_check_never_gets_traffic_and_what_serves_is_not_asked() {
    let up = Arc::new(AtomicBool::new(true));
    let answer = Arc::clone(&up);
    let sick = Application::serve(move |_| {
        let status = if answer.load(Relaxed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        async move { text(status, "sick") }
    })
    .await;
    let well = Application::named("well").await;
    let proxy = Proxy::start().await;
    let checked = |sequence, targets: &[cutover_control::Target]| {
        let health = Some(HealthCheck::new("/up", 60_000, 5_000));
        Request::Switch(Box::new(cutover_control::Switch { health, ..switch(sequence, targets) }))
    };
    proxy.call(checked(1, &[well.target()])).await.unwrap();
    up.store(false, Relaxed);
    let unready = |reply| match reply {
        Err(Refusal::Unready { replica, found }) => (replica, found),
        other => panic!("{other:?}"),
    };
    let (replica, found) = unready(proxy.call(checked(2, &[well.target(), sick.target()])).await);
    assert_eq!((replica, found.contains("503")), (sick.target().replica, true), "{found}");
    let (replica, _) = unready(proxy.call(checked(2, &[target(nobody().await)])).await);
    assert!(replica.starts_with("replica-"));
    assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "well".to_owned()));
    // A refused switch has not been at the fence: the same claim may come again.
    assert_eq!(proxy.status().await.epoch.sequence, 1);
    up.store(true, Relaxed);
    proxy.call(checked(2, &[sick.target()])).await.unwrap();
    // What has the traffic already isn't asked again: the settings of an ailing service can be changed.
    up.store(false, Relaxed);
    proxy.call(checked(2, &[sick.target()])).await.unwrap();
}

#[tokio::test]
async fn a_check_by_a_connection_asks_nothing_and_finds_who_does_not_listen() {
    let sick = Application::serve(|_| async { text(StatusCode::SERVICE_UNAVAILABLE, "sick") }).await;
    let proxy = Proxy::start().await;
    let checked = |sequence, targets: &[cutover_control::Target]| {
        let health = Some(HealthCheck { failures: 1, ..HealthCheck::of_connection(5, 5_000) });
        Request::Switch(Box::new(cutover_control::Switch { health, ..switch(sequence, targets) }))
    };
    let refused = proxy.call(checked(1, &[target(nobody().await)])).await;
    assert!(
        matches!(&refused, Err(Refusal::Unready { found, .. }) if found.contains("refused")),
        "{refused:?}"
    );
    // What it would answer doesn't matter.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = target(listener.local_addr().unwrap());
    proxy.call(checked(1, &[sick.target(), gone])).await.unwrap();
    drop(listener);
    proxy
        .until(|status| {
            let targets = &status.active.as_ref().unwrap().targets;
            targets.iter().map(|target| target.healthy).eq([true, false])
        })
        .await;
}

#[tokio::test]
async fn a_claim_that_comes_during_the_health_check_overtakes_it() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (Arc::clone(&asked), Arc::clone(&go));
    let slow = Application::serve(move |_| {
        let (told, wait) = (Arc::clone(&told), Arc::clone(&wait));
        async move {
            told.notify_one();
            wait.notified().await;
            text(StatusCode::OK, "slow")
        }
    })
    .await;
    let proxy = Proxy::start().await;
    let health = Some(HealthCheck::new("/up", 60_000, 20_000));
    let late = cutover_control::Switch { health, ..switch(1, &[slow.target()]) };
    let newer = async {
        asked.notified().await;
        assert_eq!(proxy.restore(2, "d1").await, Ok(None));
        go.notify_one();
    };
    let (refused, ()) = tokio::join!(proxy.call(Request::Switch(Box::new(late))), newer);
    assert!(matches!(refused, Err(Refusal::StaleEpoch { .. })), "{refused:?}");
}
