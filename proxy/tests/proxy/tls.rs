//! Clients that speak TLS.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use cutover_control::{Request, Route, ServiceKey, Switch, TlsPolicy};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{AlertDescription, ClientConfig, Error, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::application::{Application, text};
use crate::authority::{Authority, shake, shake_on};
use crate::caller::{LIMIT, switch};
use crate::client::{Client, get_once, raw, read, request};
use crate::proxy::Proxy;
use crate::upgrade::{ASK, echo};

/// Switches a service to an application, by its hosts.
async fn serve(proxy: &Proxy, name: &str, hosts: &[&str], app: &Application, tls: Option<TlsPolicy>) {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let route = Route { hosts, ..Route::default() };
    let key = ServiceKey::new("production", name);
    let switch = Switch { key, route, tls, ..switch(1, &[app.target()]) };
    proxy.call(Request::Switch(Box::new(switch))).await.unwrap();
}

/// One GET on a connection of its own.
async fn get_secured(client: &Arc<ClientConfig>, address: SocketAddr, host: &str) -> (StatusCode, String) {
    let mut client = Client::over(shake(client, address, host).await.unwrap()).await;
    client.ask(request(Method::GET, host, "/", "")).await.unwrap()
}

/// What a client is told that is refused.
fn alert(refused: &std::io::Error) -> Option<AlertDescription> {
    match refused.get_ref()?.downcast_ref()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn each_name_is_shown_its_own_certificate_and_a_name_without_one_is_refused() {
    let (exact, below) = (Application::named("exact").await, Application::named("below").await);
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    serve(&proxy, "exact", &["a.example"], &exact, None).await;
    serve(&proxy, "below", &["*.b.example"], &below, None).await;
    proxy.certify("exact", authority.certify(&["a.example"])).await.unwrap();
    proxy.certify("below", authority.certify(&["*.B.example", "127.0.0.1"])).await.unwrap();
    let (client, address) = (authority.client(&[]), proxy.https());
    for (host, serves) in [("a.example", "exact"), ("x.b.example", "below"), ("A.Example", "exact")] {
        assert_eq!(get_secured(&client, address, host).await, (StatusCode::OK, serves.to_owned()), "{host}");
    }
    // A client that has an address in its hands names nothing.
    assert!(shake(&client, address, "127.0.0.1").await.is_ok());
    for host in ["b.example", "x.y.b.example", "c.example"] {
        let refused = shake(&client, address, host).await.unwrap_err();
        assert_eq!(alert(&refused), Some(AlertDescription::UnrecognisedName), "{host}: {refused}");
    }
}

#[tokio::test]
async fn the_handshake_decides_between_http_1_and_http_2_and_else_the_first_bytes_do() {
    let app = Application::serve(|request: hyper::Request<Incoming>| async move {
        text(StatusCode::OK, request.headers()["x-forwarded-proto"].as_bytes().to_vec())
    })
    .await;
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    serve(&proxy, "app", &["a.example"], &app, None).await;
    proxy.certify("app", authority.certify(&["a.example"])).await.unwrap();
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    for (offered, agreed, speaks_http2) in [
        (both, Some(&b"h2"[..]), true),
        (&[b"http/1.1"], Some(b"http/1.1"), false),
        (&[], None, false),
        (&[], None, true),
    ] {
        let stream = shake(&authority.client(offered), proxy.https(), "a.example").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        let answer = if speaks_http2 {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let request = hyper::Request::get("https://a.example/").body(Full::<Bytes>::default()).unwrap();
            let response = timeout(LIMIT, sender.send_request(request)).await.unwrap().unwrap();
            read(response).await.unwrap()
        } else {
            let mut client = Client::over(stream).await;
            client.ask(request(Method::GET, "a.example", "/", "")).await.unwrap().1
        };
        assert_eq!(answer, "https");
    }
    assert_eq!(get_once(proxy.address, "a.example").await.1, "http");
}

#[tokio::test]
async fn curl_gets_its_answers_by_both_versions() {
    let app = Application::named("app").await;
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    serve(&proxy, "app", &["a.example"], &app, None).await;
    proxy.certify("app", authority.certify(&["a.example"])).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let port = proxy.https().port();
    for (version, number) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                version,
                "--write-out",
                " over HTTP/%{http_version}",
                "--cacert",
            ])
            .arg(&roots)
            .args(["--resolve", &format!("a.example:{port}:127.0.0.1")])
            .arg(format!("https://a.example:{port}/"))
            .output();
        let output = timeout(LIMIT, output).await.unwrap().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("app over HTTP/{number}"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test]
async fn a_websocket_goes_through() {
    let app = echo().await;
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    serve(&proxy, "app", &["a"], &app, None).await;
    proxy.certify("app", authority.certify(&["a"])).await.unwrap();
    let mut stream = shake(&authority.client(&[b"http/1.1"]), proxy.https(), "a").await.unwrap();
    stream.write_all(ASK.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LIMIT, stream.read_u8()).await.unwrap().unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    for said in ["one", "two"] {
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut back = vec![0; said.len()];
        timeout(LIMIT, stream.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(back, said.as_bytes());
    }
    stream.shutdown().await.unwrap();
    assert_eq!(timeout(LIMIT, stream.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_client_comes_back_without_a_whole_handshake_on_any_worker() {
    let app = Application::named("app").await;
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    serve(&proxy, "app", &["a.example"], &app, None).await;
    proxy.certify("app", authority.certify(&["a.example"])).await.unwrap();
    let client = authority.client(&[]);
    let mut open = Vec::new();
    for number in 0..4 {
        let stream = shake(&client, proxy.https(), "a.example").await.unwrap();
        let whole = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Full);
        assert_eq!(whole, number == 0);
        // The tickets come with the first answer. The connections stay open, so that each goes to another worker.
        let mut client = Client::over(stream).await;
        client.ask(request(Method::GET, "a.example", "/", "")).await.unwrap();
        open.push(client);
    }
}

#[tokio::test]
async fn a_service_that_insists_sends_clients_to_tls_where_they_find_a_certificate() {
    let app = Application::named("app").await;
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    let policy = TlsPolicy { redirect: true, hsts_seconds: 60 };
    serve(&proxy, "app", &["a.example", "b.example"], &app, Some(policy)).await;
    let mut plain = Client::connect(proxy.address).await;
    let (status, _) = plain.ask(request(Method::GET, "a.example", "/", "")).await.unwrap();
    assert_eq!(status, StatusCode::OK, "there is no certificate yet");

    proxy.certify("app", authority.certify(&["a.example"])).await.unwrap();
    let port = proxy.https().port();
    for (method, status) in [
        (Method::GET, StatusCode::MOVED_PERMANENTLY),
        (Method::HEAD, StatusCode::MOVED_PERMANENTLY),
        (Method::POST, StatusCode::PERMANENT_REDIRECT),
    ] {
        let asked = request(method, "A.example:80", "/path?query", "");
        let response = plain.send(asked).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["location"], format!("https://A.example:{port}/path?query").as_str());
        assert!(!response.headers().contains_key("strict-transport-security"));
        assert_eq!(response.headers()["cache-control"], "no-cache");
        read(response).await.unwrap();
    }
    assert_eq!(get_once(proxy.address, "b.example").await.0, StatusCode::OK);
    // It asks for the usual port, where this proxy doesn't listen: somebody leads that here, and the other one too.
    let response = plain.send(request(Method::GET, "a.example", "/", "")).await.unwrap();
    assert_eq!(response.headers()["location"], "https://a.example/");
    read(response).await.unwrap();

    let stream = shake(&authority.client(&[]), proxy.https(), "a.example").await.unwrap();
    let mut secured = Client::over(stream).await;
    let response = secured.send(request(Method::GET, "a.example", "/", "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["strict-transport-security"], "max-age=60");
}

#[tokio::test]
async fn what_a_trusted_proxy_got_over_tls_is_not_sent_away() {
    let app = Application::named("app").await;
    let proxy = Proxy::start_with_options(|options| {
        options.https = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        options.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let policy = TlsPolicy { redirect: true, hsts_seconds: 60 };
    serve(&proxy, "app", &["a.example"], &app, Some(policy)).await;
    proxy.certify("app", Authority::new("ca").certify(&["a.example"])).await.unwrap();
    for (scheme, status) in [("https", StatusCode::OK), ("http", StatusCode::MOVED_PERMANENTLY)] {
        let mut asked = request(Method::GET, "a.example", "/", "");
        asked.headers_mut().insert("x-forwarded-proto", scheme.parse().unwrap());
        let response = Client::connect(proxy.address).await.send(asked).await.unwrap();
        assert_eq!(response.status(), status);
        let is_marked = response.headers().contains_key("strict-transport-security");
        assert_eq!(is_marked, status == StatusCode::OK);
    }
}

#[tokio::test]
async fn a_client_that_is_announced_shakes_hands_behind_its_announcement() {
    let app = Application::serve(|request: hyper::Request<Incoming>| async move {
        text(StatusCode::OK, request.headers()["x-forwarded-for"].as_bytes().to_vec())
    })
    .await;
    let proxy = Proxy::start_with_options(|options| {
        options.https = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        options.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        options.proxy_protocol = true;
    })
    .await;
    let authority = Authority::new("ca");
    serve(&proxy, "app", &["a.example"], &app, None).await;
    proxy.certify("app", authority.certify(&["a.example"])).await.unwrap();
    let mut stream = TcpStream::connect(proxy.https()).await.unwrap();
    stream.write_all(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n").await.unwrap();
    let mut client = Client::over(shake_on(stream, &authority.client(&[]), "a.example").await.unwrap()).await;
    let (_, address) = client.ask(request(Method::GET, "a.example", "/", "")).await.unwrap();
    assert_eq!(address, "203.0.113.9");
}

#[tokio::test]
async fn a_request_for_a_host_that_the_certificate_is_not_for_is_misdirected() {
    let (one, other) = (Application::named("one").await, Application::named("other").await);
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    serve(&proxy, "one", &["a.example", "b.example"], &one, None).await;
    serve(&proxy, "other", &["c.example"], &other, None).await;
    proxy.certify("one", authority.certify(&["a.example", "*.example"])).await.unwrap();
    proxy.certify("other", authority.certify(&["c.other"])).await.unwrap();
    let stream = shake(&authority.client(&[]), proxy.https(), "a.example").await.unwrap();
    let mut client = Client::over(stream).await;
    for (host, status) in [
        ("a.example:443", StatusCode::OK),
        ("B.example", StatusCode::OK),
        ("c.other", StatusCode::MISDIRECTED_REQUEST),
        ("x.b.example", StatusCode::MISDIRECTED_REQUEST),
        ("example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let answer = client.ask(request(Method::GET, host, "/", "")).await.unwrap();
        assert_eq!(answer.0, status, "{host}: {}", answer.1);
    }
}

#[tokio::test]
async fn who_speaks_http_without_tls_is_told_and_who_says_nothing_is_let_go() {
    let proxy = Proxy::start_secured().await;
    let told = raw(proxy.https(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n", None).await;
    assert!(
        told.starts_with("HTTP/1.1 400 ") && told.ends_with("this port is for HTTPS, not HTTP\n"),
        "{told}"
    );
    // As much as a handshake begins with, and no more.
    let mut slow = TcpStream::connect(proxy.https()).await.unwrap();
    slow.write_all(&[22, 3, 1]).await.unwrap();
    let mut silent = TcpStream::connect(proxy.https()).await.unwrap();
    for stream in [&mut slow, &mut silent] {
        let ended = timeout(LIMIT, stream.read(&mut [0; 16])).await.expect("it is still waited for");
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
}

/// Asks until it is told to stop, each second client on a connection that it keeps as long as the proxy does, the others
/// with a handshake for each request; gives how many were answered.
fn ask_on(
    authority: &Authority,
    address: SocketAddr,
    done: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<u64>> {
    let ask = |keeps: bool| {
        let (config, done) = (authority.client(&[]), Arc::clone(done));
        tokio::spawn(async move {
            let (mut answered, mut kept) = (0, None::<Client>);
            while !done.load(Relaxed) {
                let mut client = match kept.take() {
                    Some(client) => client,
                    None => Client::over(shake(&config, address, "a.example").await.unwrap()).await,
                };
                let response = client.send(request(Method::GET, "a.example", "/", "")).await.unwrap();
                let closes = response.headers().get("connection").is_some_and(|value| value == "close");
                assert_eq!(response.status(), StatusCode::OK);
                read(response).await.unwrap();
                answered += 1;
                kept = (keeps && !closes).then_some(client);
            }
            answered
        })
    };
    [true, false].repeat(3).into_iter().map(ask).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_and_a_take_over_cost_no_client_a_request_or_a_handshake() {
    let app = Application::named("app").await;
    let mut proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    serve(&proxy, "app", &["a.example"], &app, None).await;
    proxy.certify("app", authority.certify_until(&["a.example"], 2080)).await.unwrap();
    let (address, done) = (proxy.https(), Arc::new(AtomicBool::new(false)));
    let clients = ask_on(&authority, address, &done);
    for year in 2081..2086 {
        let renewed = authority.certify_until(&["a.example"], year);
        let successor = proxy.successor().await;
        assert_eq!(successor.https(), address);
        // The one that has handed over may still be at its last requests.
        let status = successor.certify("app", renewed).await.unwrap();
        assert_eq!(successor.status().await.certificates, [status]);
        proxy.ended().await;
        proxy = successor;
    }
    done.store(true, Relaxed);
    let mut answered = 0;
    for client in clients {
        answered += timeout(LIMIT, client).await.unwrap().unwrap();
    }
    assert!(answered > 0);
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.server_errors, active.proxy_errors), (0, 0));
}

#[tokio::test]
async fn handshakes_are_counted_and_the_ends_of_certificates_told() {
    let app = Application::named("app").await;
    let proxy = Proxy::start_with_options(|options| {
        options.https = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        options.metrics = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    })
    .await;
    let authority = Authority::new("ca");
    serve(&proxy, "app", &["a.example"], &app, None).await;
    let status = proxy.certify("app", authority.certify(&["a.example"])).await.unwrap();
    get_secured(&authority.client(&[]), proxy.https(), "a.example").await;
    assert!(shake(&authority.client(&[]), proxy.https(), "b.example").await.is_err());
    // The client may know of a failed handshake a moment before it is counted.
    let told = timeout(LIMIT, async {
        loop {
            let mut client = Client::connect(proxy.options.metrics.unwrap()).await;
            let (_, told) = client.ask(request(Method::GET, "prometheus", "/metrics", "")).await.unwrap();
            if told.contains("cutover_proxy_handshakes_total{result=\"failed\"} 1\n") {
                return told;
            }
        }
    })
    .await
    .expect("the failed handshake is not counted");
    for part in [
        "cutover_proxy_handshakes_total{result=\"done\"} 1\n".to_owned(),
        format!("name=\"a.example\"}} {}\n", status.not_after),
    ] {
        assert!(told.contains(&part), "{part} in {told}");
    }
}

#[tokio::test]
async fn openssl_finds_no_old_version_of_tls() {
    let proxy = Proxy::start_secured().await;
    proxy.certify("app", Authority::new("ca").certify(&["a.example"])).await.unwrap();
    for (version, agrees) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &proxy.https().to_string(), "-servername", "a.example", version])
            // The first of them is off in openssl itself, but for this.
            .args(["-cipher", "ALL:@SECLEVEL=0"])
            .stdin(Stdio::null())
            .output();
        let output = timeout(LIMIT, output).await.unwrap().unwrap();
        assert_eq!(output.status.success(), agrees, "{version}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
