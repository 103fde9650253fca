//! A real export to a collector's socket. One test in its own process: there is one subscriber for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use cutover_telemetry::{Config, Telemetry, traceparent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(30);
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn spans_reach_the_collector_before_shutdown_returns() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = collector.local_addr().unwrap();
    let received = tokio::spawn(async move {
        let (mut stream, _) = collector.accept().await.unwrap();
        let mut request = Vec::new();
        while !contains(&request, b"shipping the image") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the export was cut short");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        request
    });

    let config = Config { collector: Some(format!("http://{address}/")), ..Config::default() };
    let telemetry = Telemetry::start("cutover-shipper", config).await.unwrap();
    let span = tracing::info_span!(target: "cutover_shipper", "shipping the image");
    traceparent::continue_in(&span, PARENT);
    let onwards = traceparent::of(&span).unwrap();
    drop(span);
    telemetry.shutdown().await;

    let request = tokio::time::timeout(LIMIT, received).await.expect("nothing was exported").unwrap();
    assert!(request.starts_with(b"POST /v1/traces HTTP/1.1\r\n"));
    assert!(contains(&request, b"cutover-shipper"));
    assert!(contains(&request, &hex("0af7651916cd43dd8448eb211c80319c")), "the trace was not continued");
    assert_eq!(onwards.split('-').nth(1), PARENT.split('-').nth(1));
    assert_ne!(onwards, PARENT);
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
