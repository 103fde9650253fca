//! Real scrapes over TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use cutover_core::Stage;
use cutover_telemetry::{Endpoint, Metrics, TaskResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(30);

async fn serve(metrics: &Metrics) -> Endpoint {
    Endpoint::serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), metrics.clone()).await.unwrap()
}

async fn ask(endpoint: &Endpoint, request: &str) -> String {
    let mut stream = TcpStream::connect(endpoint.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .expect("no answer in time")
        .unwrap();
    answer
}

#[tokio::test]
async fn what_was_counted_is_scraped() {
    let metrics = Metrics::new().unwrap();
    let endpoint = serve(&metrics).await;
    metrics.begin(Stage::Ship).end(TaskResult::Finished);
    drop(metrics.begin(Stage::Ship));
    let _running = metrics.begin(Stage::Expand);
    metrics.redelivered(Stage::Ship);
    metrics.claim_lost(Stage::Boot);

    let answer = ask(&endpoint, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for line in [
        "cutover_tasks_total{result=\"finished\",stage=\"ship\"} 1",
        "cutover_tasks_total{result=\"dropped\",stage=\"ship\"} 1",
        "cutover_task_duration_seconds_count{stage=\"ship\"} 2",
        "cutover_tasks_in_flight{stage=\"ship\"} 0",
        "cutover_tasks_in_flight{stage=\"expand\"} 1",
        "cutover_redeliveries_total{stage=\"ship\"} 1",
        "cutover_claims_lost_total{stage=\"boot\"} 1",
    ] {
        assert!(answer.lines().any(|found| found == line), "{line} is not in\n{answer}");
    }
}

#[tokio::test]
async fn a_gauge_is_shown_as_long_as_there_is_what_it_is_about() {
    let metrics = Metrics::new().unwrap();
    let endpoint = serve(&metrics).await;
    let scrape = async || ask(&endpoint, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let gauges = metrics.gauges("probe_success", "Whether.", ["host", "replica"]).unwrap();
    let [first, second] = ["web-1", "web-2"].map(|replica| gauges.show(["a", replica]));
    first.set(0.0);
    second.set(1.0);
    let answer = scrape().await;
    assert!(answer.contains("probe_success{host=\"a\",replica=\"web-1\"} 0\n"), "{answer}");
    assert!(answer.contains("probe_success{host=\"a\",replica=\"web-2\"} 1\n"), "{answer}");
    drop(first);
    let answer = scrape().await;
    assert!(!answer.contains("web-1") && answer.contains("web-2"), "{answer}");
}

#[tokio::test]
async fn nothing_else_is_served() {
    let endpoint = serve(&Metrics::new().unwrap()).await;
    assert!(ask(&endpoint, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 404 "));
    assert!(
        ask(&endpoint, "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 405 ")
    );
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_is_dropped_and_holds_nobody_up() {
    let endpoint = serve(&Metrics::new().unwrap()).await;
    let mut silent = TcpStream::connect(endpoint.address()).await.unwrap();
    silent.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    assert!(ask(&endpoint, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, silent.read_to_end(&mut rest))
        .await
        .expect("the connection was kept")
        .unwrap();
}
