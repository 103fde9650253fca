use std::path::PathBuf;

use cutover_control::{Call, Epoch, Request, Response, ServiceStatus, SetStatus, encode_reply};
use cutover_core::{Failure, ServiceKey, Span};
use cutover_fleet::Machine;
use cutover_host::{Hosts, SshOptions};
use cutover_watch::{Part, Watched};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

use super::*;

/// How long a test waits for anything before it fails.
const LIMIT: Duration = Duration::from_secs(60);
const DEPLOYMENT: &str = "01jd0000000000000000000000";

/// What a proxy says that serves a deployment.
fn serving(deployment: &str, requests: u64, server_errors: u64, proxy_errors: u64) -> ServiceStatus {
    let active =
        SetStatus { requests, server_errors, proxy_errors, ..SetStatus::new(deployment, "0123456789ab") };
    let key = cutover_control::ServiceKey::new("production", "hello");
    let epoch = Epoch { journal: "j".into(), sequence: 7 };
    ServiceStatus { active: Some(active), ..ServiceStatus::new(key, epoch) }
}

/// A host with a control socket and no Docker.
struct Site {
    folder: TempDir,
    machine: Machine,
}

impl Site {
    fn new(name: &str) -> Self {
        let hosts = Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent");
        Self { folder: TempDir::new().unwrap(), machine: Machine::new(name.parse().unwrap(), hosts.local()) }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// Answers status with one of these after the other, and then with the last one.
    fn saying(self, statuses: Vec<ServiceStatus>) -> Self {
        let listener = UnixListener::bind(self.socket()).unwrap();
        tokio::spawn(async move {
            let mut left = statuses.as_slice();
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                // At the end of a soak a question may be given up.
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    continue;
                }
                assert_eq!(Call::from_line(line.as_bytes()).unwrap().request, Request::Status);
                let services = left.first().cloned().into_iter().collect();
                let reply = Ok(Response::Status { version: "1".into(), instance: "i".into(), services });
                stream.write_all(&encode_reply(&reply).unwrap()).await.ok();
                left =
                    left.split_first().map(|(_, rest)| rest).filter(|rest| !rest.is_empty()).unwrap_or(left);
            }
        });
        self
    }
}

fn guard(time: Span) -> cutover_core::Soak {
    cutover_core::Soak { time, max_errors_per_mille: 10, min_requests: 20 }
}

async fn soak(sites: &[Site], time: Span, elapsed: Duration) -> Result<Evidence, Error> {
    let key = ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() };
    let (deployment, guard) = (DEPLOYMENT.parse().unwrap(), guard(time));
    let sockets: Vec<_> = sites.iter().map(Site::socket).collect();
    let watched = |(site, socket)| {
        let Site { machine, .. }: &Site = site;
        let socket: &PathBuf = socket;
        Watched { machine, proxy: machine.proxy_at(socket), replicas: &[], jobs: Vec::new() }
    };
    let hosts = sites.iter().zip(&sockets).map(watched).collect();
    let watch = Watch {
        key: &key,
        deployment: &deployment,
        part: Part::Active,
        from_now_on: false,
        hosts,
        guard: &guard,
    };
    let soak = Soak { watch, elapsed, liveness: Vec::new() };
    tokio::time::timeout(LIMIT, soak.run(&Step::default())).await.expect("the soak never ended")
}

#[tokio::test]
async fn what_all_hosts_count_is_the_evidence() {
    let sites = [
        Site::new("one").saying(vec![serving(DEPLOYMENT, 100, 1, 0), serving(DEPLOYMENT, 300, 1, 1)]),
        Site::new("two").saying(vec![serving(DEPLOYMENT, 50, 0, 0)]),
    ];
    let evidence = soak(&sites, Span::seconds(1), Duration::ZERO).await.unwrap();
    assert_eq!(evidence, Evidence { requests: 350, errors: 2 });
}

#[tokio::test]
async fn too_many_errors_end_it_long_before_its_time() {
    let bad = serving(DEPLOYMENT, 200, 20, 10);
    let sites = [
        Site::new("one").saying(vec![serving(DEPLOYMENT, 100, 0, 0)]),
        Site::new("two").saying(vec![serving(DEPLOYMENT, 10, 0, 0), bad]),
    ];
    let failure = Failure::from(soak(&sites, Span::seconds(3600), Duration::ZERO).await.unwrap_err());
    assert!(!failure.retry);
    assert_eq!(
        failure.message,
        "30 of 300 requests failed, 10.0 %, where at most 1.0 % are allowed (one: 0 of 100, two: 30 of 200)"
    );
}

#[tokio::test]
async fn a_proxy_that_serves_something_else_ends_it() {
    let elsewhere = vec![serving(DEPLOYMENT, 1, 0, 0), serving("before", 1, 0, 0)];
    let failure = soak(&[Site::new("one").saying(elsewhere)], Span::seconds(3600), Duration::ZERO).await;
    let failure = Failure::from(failure.unwrap_err());
    assert!(!failure.retry);
    assert_eq!(
        failure.message,
        "the proxy on one sends its traffic to deployment before, not to deployment 01jd0000000000000000000000"
    );
}

#[tokio::test]
async fn a_worker_that_takes_over_after_the_end_looks_all_the_same() {
    let over = Duration::from_secs(3600);
    let site = Site::new("one").saying(vec![serving(DEPLOYMENT, 40, 0, 0)]);
    let evidence = soak(&[site], Span(over), over).await.unwrap();
    assert_eq!(evidence, Evidence { requests: 40, errors: 0 });
    let site = Site::new("one").saying(vec![serving(DEPLOYMENT, 40, 40, 0)]);
    assert!(matches!(
        soak(&[site], Span(over), over).await,
        Err(Error::Watch(cutover_watch::Error::TooManyErrors { .. }))
    ));
}

#[tokio::test]
async fn a_host_that_says_nothing_is_named_and_may_speak_again() {
    let sites = [Site::new("one").saying(vec![serving(DEPLOYMENT, 40, 0, 0)]), Site::new("two")];
    let failure = Failure::from(soak(&sites, Span::seconds(3600), Duration::ZERO).await.unwrap_err());
    assert!(failure.retry);
    let message = &failure.message;
    assert!(
        message.starts_with("two can't be watched: what its proxy counts could not be read for 5 s"),
        "{message}"
    );
    assert!(message.contains("no proxy answers on two"), "{message}");
}
