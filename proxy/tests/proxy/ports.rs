//! Several ports of the same replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cutover_control::{
    ApplicationProtocol, Canary, Maintenance, Pause, Port, Refusal, Request, Route, ServiceKey, Switch,
    Target, Timeouts, Upstream,
};
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::application::{Application, target, text};
use crate::caller::{LIMIT, key, switch};
use crate::client::{Client, request};
use crate::http2_application::Http2Application;
use crate::proxy::Proxy;

fn route(hosts: &[&str], prefixes: &[&str]) -> Route {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Route { hosts: texts(hosts), path_prefixes: texts(prefixes), strip_path_prefix: false }
}

/// The port with `/cable` of every host.
fn cable(number: u16) -> Port {
    Port { number, route: route(&[], &["/cable"]), application_protocol: ApplicationProtocol::Http1 }
}

/// The port with a host of its own, where HTTP/2 is spoken.
fn grpc(number: u16) -> Port {
    let application_protocol = ApplicationProtocol::H2c;
    Port { number, route: route(&["grpc.example"], &[]), application_protocol }
}

async fn switch_to(proxy: &Proxy, sequence: u64, targets: &[Target], ports: Vec<Port>) {
    proxy.switch_as(Switch { ports, ..switch(sequence, targets) }).await.unwrap();
}

/// The answer to a request that takes the short way, where there is one for it, and to one that takes the complete way.
async fn ask(proxy: &Proxy, host: &str, path: &str) -> [(StatusCode, String); 2] {
    let mut client = Client::connect(proxy.address).await;
    let short = client.ask(request(Method::GET, host, path, "")).await.unwrap();
    [short, client.ask(request(Method::POST, host, path, "body")).await.unwrap()]
}

/// Whoever answers the three kinds of requests, both ways.
async fn answers(proxy: &Proxy) -> [String; 3] {
    let mut answers = [const { String::new() }; 3];
    let asked = [("a.example", "/"), ("a.example", "/cable/x"), ("grpc.example", "/cable")];
    for (answer, (host, path)) in answers.iter_mut().zip(asked) {
        let [short, complete] = ask(proxy, host, path).await;
        assert_eq!((short.0, &short), (StatusCode::OK, &complete));
        *answer = short.1;
    }
    answers
}

/// A replica with three ports, which answer with their name and the replica's.
struct Replica {
    web: Application,
    cable: Application,
    grpc: Http2Application,
}

impl Replica {
    async fn start(name: &'static str) -> Self {
        let named = async |port: &str| {
            let name = format!("{name} {port}");
            Application::serve(move |request| {
                let name = name.clone();
                async move {
                    request.into_body().collect().await.unwrap();
                    text(StatusCode::OK, name)
                }
            })
            .await
        };
        let grpc =
            Http2Application::serve(move |request: hyper::Request<hyper::body::Incoming>| async move {
                request.into_body().collect().await.unwrap();
                text(StatusCode::OK, format!("{name} grpc"))
            });
        Self { web: named("web").await, cable: named("cable").await, grpc: grpc.await }
    }

    fn ports(&self) -> Vec<Port> {
        vec![cable(self.cable.address.port()), grpc(self.grpc.address.port())]
    }
}

/// Listeners at the same port of several addresses of this host.
async fn same_port<const N: usize>(addresses: [&str; N]) -> [TcpListener; N] {
    loop {
        let first = TcpListener::bind((addresses[0], 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut all = vec![first];
        for address in &addresses[1..] {
            // Somebody else may have it there.
            all.extend(TcpListener::bind((*address, port)).await.ok());
        }
        if let Ok(all) = all.try_into() {
            return all;
        }
    }
}

#[tokio::test]
async fn requests_go_to_the_port_of_their_path_or_host_also_after_a_restart_and_a_take_over() {
    let replica = Replica::start("one").await;
    let mut proxy = Proxy::start().await;
    switch_to(&proxy, 1, &[replica.web.target()], replica.ports()).await;
    let expected = ["one web", "one cable", "one grpc"];
    assert_eq!(answers(&proxy).await, expected);
    assert_eq!(ask(&proxy, "a.example", "/cables").await[0].1, "one web");
    let status = proxy.status().await;
    assert_eq!(status.ports, replica.ports());
    // One replica, whose requests count together.
    let active = status.active.unwrap();
    assert_eq!((active.targets.len(), active.requests), (1, 8));
    let successor = proxy.successor().await;
    proxy.ended().await;
    assert_eq!(answers(&successor).await, expected);
    let proxy = successor.restart().await;
    assert_eq!(answers(&proxy).await, expected);

    let plain = Application::named("plain").await;
    proxy.switch(2, &[plain.target()]).await;
    assert_eq!(answers(&proxy).await, ["plain"; 3]);
    proxy.restore(3, "d2").await.unwrap();
    assert_eq!(answers(&proxy).await, expected);
    proxy.restore(4, "d1").await.unwrap();
    for (host, path) in [("a.example", "/"), ("a.example", "/cable"), ("grpc.example", "/")] {
        assert_eq!(ask(&proxy, host, path).await[0].0, StatusCode::SERVICE_UNAVAILABLE, "{host}{path}");
    }
}

#[tokio::test]
async fn a_prefix_is_stripped_at_one_port_and_not_at_another() {
    let shown = async || {
        Application::serve(|request| async move { text(StatusCode::OK, request.uri().to_string()) }).await
    };
    let (web, kept, stripped) = (shown().await, shown().await, shown().await);
    let proxy = Proxy::start().await;
    let strips = Route { strip_path_prefix: true, ..route(&[], &["/cable/strip"]) };
    let ports = vec![cable(kept.address.port()), Port { route: strips, ..cable(stripped.address.port()) }];
    switch_to(&proxy, 1, &[web.target()], ports).await;
    for (path, asked) in [("/x", "/x"), ("/cable/x", "/cable/x"), ("/cable/strip/x?y", "/x?y")] {
        let answer = (StatusCode::OK, asked.to_owned());
        assert_eq!(ask(&proxy, "a.example", path).await, [answer.clone(), answer], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_ports_change_hands_at_once_and_no_request_is_lost() {
    let replicas = [Replica::start("old").await, Replica::start("new").await];
    let proxy = Proxy::start().await;
    let [old, new] = &replicas;
    switch_to(&proxy, 1, &[old.web.target()], old.ports()).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..6 {
        let (address, over) = (proxy.address, Arc::clone(&over));
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let (mut swapped, mut round) = (false, number);
            while !(over.load(Relaxed) && swapped) {
                let (host, path) = [("a", "/"), ("a", "/cable"), ("grpc.example", "/")][round % 3];
                let (method, body) = if round % 2 == 0 { (Method::GET, "") } else { (Method::POST, "body") };
                let (status, name) = client.ask(request(method, host, path, body)).await.unwrap();
                assert_eq!(status, StatusCode::OK);
                let is_new = name.starts_with("new ");
                // What has changed at one port has changed at all.
                assert!(is_new || !swapped, "{name} at {host}{path} after a new one");
                swapped |= is_new;
                round += 1;
            }
        });
    }
    proxy.until(|status| status.active.as_ref().unwrap().requests > 100).await;
    switch_to(&proxy, 2, &[new.web.target()], new.ports()).await;
    proxy.until(|status| status.active.as_ref().unwrap().requests > 100).await;
    over.store(true, Relaxed);
    while let Some(client) = timeout(LIMIT, clients.join_next()).await.unwrap() {
        client.unwrap();
    }
    let status = proxy.status().await;
    for set in status.sets() {
        assert_eq!((set.proxy_errors, set.server_errors), (0, 0), "{}", set.deployment);
    }
    assert_eq!(proxy.retire(2, "d2").await.unwrap(), (vec![new.web.target()], vec![]));
}

#[tokio::test]
async fn a_canary_takes_its_share_of_every_port_that_it_has() {
    let replicas = [Replica::start("old").await, Replica::start("new").await];
    let [old, new] = &replicas;
    let name = |name: &'static str| move |_| async move { text(StatusCode::OK, name) };
    let [at_old, at_new] = same_port(["127.0.0.2", "127.0.0.3"]).await;
    let apps = [
        Application::serve_at(at_old, name("old shared")),
        Application::serve_at(at_new, name("new shared")),
    ];
    let number = apps[0].address.port();
    // The address of a replica is that of all its ports.
    let at =
        |replica: &Replica, number: usize| Target { address: apps[number].address, ..replica.web.target() };
    let shared = |number| Port { route: route(&["shared.example"], &[]), ..cable(number) };
    let proxy = Proxy::start().await;
    switch_to(&proxy, 1, &[at(old, 0)], vec![shared(number), cable(1)]).await;
    let canary = |weight, mirror, ports| Canary {
        switch: Switch { ports, ..switch(2, &[at(new, 1)]) },
        weight,
        hold_ms: 600_000,
        sticky: false,
        choose: None,
        mirror,
    };
    proxy.weigh(canary(1_000, 0, vec![shared(number)])).await;
    let new_answer = (StatusCode::OK, "new shared".to_owned());
    assert_eq!(ask(&proxy, "shared.example", "/").await, [new_answer.clone(), new_answer]);
    proxy.weigh(canary(1_000, 0, vec![])).await;
    assert_eq!(ask(&proxy, "shared.example", "/").await[0].1, "old shared");
    assert_eq!(ask(&proxy, "a.example", "/").await[0].1, "new shared");
    proxy.weigh(canary(0, 1_000, vec![shared(number)])).await;
    let before = apps[1].requests();
    assert_eq!(ask(&proxy, "shared.example", "/").await[0].1, "old shared");
    proxy.until(|status| status.canary.as_ref().unwrap().mirrored.requests == 1).await;
    assert_eq!(apps[1].requests(), before + 1);
}

#[tokio::test]
async fn a_replica_is_as_busy_as_all_its_ports_and_as_long() {
    let listeners = same_port(["127.0.0.2", "127.0.0.3"]).await;
    let webs = same_port(["127.0.0.2", "127.0.0.3"]).await;
    let (asked, mut asks) = tokio::sync::mpsc::channel(8);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let cables = listeners.map(|listener| {
        let (asked, gate) = (asked.clone(), Arc::clone(&gate));
        let at = listener.local_addr().unwrap();
        Application::serve_at(listener, move |_| {
            let (asked, gate) = (asked.clone(), Arc::clone(&gate));
            async move {
                asked.send(at.ip()).await.unwrap();
                gate.acquire().await.unwrap().forget();
                text(StatusCode::OK, "cable")
            }
        })
    });
    let webs = webs.map(|listener| {
        let name = listener.local_addr().unwrap().ip().to_string();
        Application::serve_at(listener, move |_| {
            let name = name.clone();
            async move { text(StatusCode::OK, name) }
        })
    });
    let proxy = Proxy::start().await;
    let targets = webs.each_ref().map(|web| target(web.address));
    let ports = vec![cable(cables[0].address.port())];
    switch_to(&proxy, 1, &targets, ports.clone()).await;
    let address = proxy.address;
    let held = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        client.ask(request(Method::GET, "a", "/cable", "")).await.unwrap()
    });
    let busy = timeout(LIMIT, asks.recv()).await.unwrap().unwrap();
    // Whoever has nothing in flight at any port comes first.
    for _ in 0..6 {
        for (_, name) in ask(&proxy, "a", "/").await {
            assert_ne!(name, busy.to_string());
        }
    }
    let other = Application::named("other").await;
    proxy.switch(2, &[other.target()]).await;
    let (_, draining) = proxy.retire(2, "d2").await.unwrap();
    assert_eq!(draining.len(), 1, "{draining:?}");
    assert_eq!((draining[0].address.ip(), draining[0].in_flight), (busy, 1));
    gate.add_permits(1);
    assert_eq!(timeout(LIMIT, held).await.unwrap().unwrap(), (StatusCode::OK, "cable".to_owned()));
    // The client has the answer a moment before the proxy notes its end.
    proxy.until(|status| status.draining.is_empty()).await;
    assert_eq!(proxy.retire(2, "d2").await.unwrap().1, []);
}

#[tokio::test]
async fn connections_to_all_ports_of_a_replica_are_limited_together() {
    let web = Application::named("web").await;
    let (patient, mut asks, gate) = Application::patient("cable").await;
    let proxy = Proxy::start().await;
    let upstream = Upstream { max_connections: Some(1), ..Upstream::default() };
    let timeouts = Timeouts { connect_ms: 100, ..Timeouts::of_response(10_000) };
    let ports = vec![cable(patient.address.port())];
    let limited = Switch { ports, upstream, timeouts, ..switch(1, &[web.target()]) };
    proxy.switch_as(limited).await.unwrap();
    let address = proxy.address;
    let held = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        client.ask(request(Method::GET, "a", "/cable", "")).await.unwrap()
    });
    timeout(LIMIT, asks.recv()).await.unwrap().unwrap();
    for (status, _) in ask(&proxy, "a", "/").await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    gate.add_permits(1);
    assert_eq!(timeout(LIMIT, held).await.unwrap().unwrap().0, StatusCode::OK);
    proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
    assert_eq!(ask(&proxy, "a", "/").await.map(|answer| answer.0), [StatusCode::OK; 2]);
}

#[tokio::test]
async fn a_pause_and_maintenance_are_for_all_ports() {
    let replica = Replica::start("one").await;
    let proxy = Proxy::start().await;
    switch_to(&proxy, 1, &[replica.web.target()], replica.ports()).await;
    let away = Maintenance { key: key(), journal: None, page: None, until: None, choose: None };
    proxy.call(Request::Maintenance(Box::new(away))).await.unwrap();
    let asked = [("a.example", "/"), ("a.example", "/cable"), ("grpc.example", "/")];
    for (host, path) in asked {
        for (status, _) in ask(&proxy, host, path).await {
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{host}{path}");
        }
    }
    proxy.call(Request::EndMaintenance { key: key(), journal: None }).await.unwrap();
    let pause = Pause { key: key(), journal: None, hold_ms: 600_000, max_waiting: 100 };
    proxy.call(Request::Pause(pause)).await.unwrap();
    let mut waiting = JoinSet::new();
    for (host, path) in asked {
        let address = proxy.address;
        waiting.spawn(async move {
            Client::connect(address).await.ask(request(Method::GET, host, path, "")).await.unwrap()
        });
    }
    proxy.until(|status| status.pause.is_some_and(|pause| pause.waiting == 3)).await;
    proxy.call(Request::Resume { key: key(), journal: None }).await.unwrap();
    let mut answers = timeout(LIMIT, waiting.join_all()).await.unwrap();
    answers.sort_by(|one, other| one.1.cmp(&other.1));
    assert_eq!(answers, ["cable", "grpc", "web"].map(|port| (StatusCode::OK, format!("one {port}"))));
}

#[tokio::test]
async fn what_another_service_has_at_any_port_is_refused() {
    let app = Application::named("app").await;
    let proxy = Proxy::start().await;
    switch_to(&proxy, 1, &[app.target()], vec![cable(1), grpc(2)]).await;
    let refused = async |own: Route, ports: Vec<Port>| {
        let key = ServiceKey::new("production", "other");
        let switch = Switch { key, route: own, ports, ..switch(2, &[app.target()]) };
        match proxy.switch_as(switch).await {
            Err(Refusal::Invalid { message }) => message,
            other => panic!("{other:?}"),
        }
    };
    let own = || route(&["other.example"], &[]);
    let told = refused(own(), vec![grpc(9)]).await;
    assert!(told.starts_with("grpc.example is routed to production/app"), "{told}");
    let told = refused(route(&["grpc.example"], &[]), vec![]).await;
    assert!(told.starts_with("grpc.example is routed to production/app"), "{told}");
    let told = refused(own(), vec![cable(9)]).await;
    assert!(told.starts_with("/cable of every host"), "{told}");
    let told = refused(own(), vec![Port { route: own(), ..cable(9) }]).await;
    assert!(told.contains("other.example is routed to port 9"), "{told}");
}
