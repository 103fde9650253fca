//! Proxies in front that announce their clients by the PROXY protocol.

use std::net::Ipv4Addr;

use hyper::Request;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::application::{Application, text};
use crate::client::read_until;
use crate::proxy::Proxy;

const ASK: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A proxy that has announcements from a network, before an application that answers with the addresses it is told.
async fn announced_from(network: &str) -> (Proxy, Application) {
    let app = Application::serve(|request: Request<Incoming>| async move {
        let addresses = request.headers()["x-forwarded-for"].to_str().unwrap().to_owned();
        text(hyper::StatusCode::OK, addresses)
    })
    .await;
    let proxy = Proxy::start_with_options(|options| {
        options.trusted = vec![network.parse().unwrap()];
        options.proxy_protocol = true;
    })
    .await;
    proxy.switch(1, &[app.target()]).await;
    (proxy, app)
}

async fn said(proxy: &Proxy, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        // The other side sees the pieces one by one, mostly.
        tokio::task::yield_now().await;
    }
    read_until(&mut stream, None).await
}

/// Version 2: what a proxy says of a client at an IPv4 address, with a field more that isn't read.
fn v2(client: Ipv4Addr) -> Vec<u8> {
    let ends = [&client.octets()[..], &[198, 51, 100, 1], &[0x30, 0x39, 0, 80]].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11"[..], &ends, &[4, 0, 2, 7, 7]].concat()
}

#[tokio::test]
async fn the_client_that_is_announced_is_the_one_that_the_application_is_told() {
    let (proxy, _app) = announced_from("127.0.0.0/8").await;
    let v1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 80\r\n";
    let v1_v6 = b"PROXY TCP6 2001:db8::1 ::1 12345 80\r\n";
    let v2 = v2(Ipv4Addr::new(192, 0, 2, 8));
    for (header, client) in [
        (&v1[..], "192.0.2.7"),
        (v1_v6, "2001:db8::1"),
        (&v2, "192.0.2.8"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "127.0.0.1"),
    ] {
        let answer = said(&proxy, &[&[header, ASK.as_bytes()].concat()]).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{client}")), "{answer}");
        // However it comes.
        let bytes: Vec<&[u8]> = header.chunks(1).chain([ASK.as_bytes()]).collect();
        let answer = said(&proxy, &bytes).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{client}")), "{answer}");
    }
}

#[tokio::test]
async fn what_an_announced_client_claims_is_believed_of_trusted_ones_only() {
    let (proxy, _app) = announced_from("127.0.0.0/8").await;
    let claim = ASK.replace("\r\n\r\n", "\r\nx-forwarded-for: 203.0.113.9\r\n\r\n");
    for (client, told) in [("192.0.2.7", "192.0.2.7"), ("127.9.9.9", "203.0.113.9, 127.9.9.9")] {
        let header = format!("PROXY TCP4 {client} 198.51.100.1 1 80\r\n");
        let answer = said(&proxy, &[header.as_bytes(), claim.as_bytes()]).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{told}")), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_of_a_trusted_proxy_without_an_announcement_is_refused() {
    let (proxy, app) = announced_from("127.0.0.0/8").await;
    for unannounced in [
        ASK,
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PROXY TCP4 192.0.2.7\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 1 80\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        assert_eq!(said(&proxy, &[unannounced.as_bytes()]).await, "", "{unannounced}");
    }
    // Also one that never says it whole.
    assert_eq!(said(&proxy, &[b"PROXY TCP4 192.0.2"]).await, "");
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn an_announcement_of_anybody_else_is_not_read() {
    let (proxy, app) = announced_from("192.0.2.0/24").await;
    let answer = said(&proxy, &[b"PROXY TCP4 192.0.2.7 198.51.100.1 1 80\r\n", ASK.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(app.requests(), 0);
    assert!(said(&proxy, &[ASK.as_bytes()]).await.ends_with("\r\n\r\n127.0.0.1"));
}
