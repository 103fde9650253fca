use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cutover_core::{ApplicationProtocol, Failure};
use cutover_host::{Hosts, SshOptions};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

/// How long a test waits for anything before it fails.
const LIMIT: Duration = Duration::from_secs(60);

/// This machine, with no Docker.
fn machine() -> Machine {
    let hosts = Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent");
    Machine::new("localhost".parse().unwrap(), hosts.local())
}

/// Answers one question after the other as the list says, and all further ones as its last entry; 0 is no answer ever.
async fn answer(listener: TcpListener, list: &'static [u16]) {
    let asked = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |_: Request<Incoming>| {
        let nth = asked.fetch_add(1, Ordering::Relaxed).min(list.len() - 1);
        async move {
            if list[nth] == 0 {
                return std::future::pending().await;
            }
            let mut response = Response::new(Full::<Bytes>::from(format!("answer {nth}\n")));
            *response.status_mut() = list[nth].try_into().unwrap();
            Ok::<Response<Full<Bytes>>, Infallible>(response)
        }
    });
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A replica that answers as the list says.
async fn replica(name: &str, list: &'static [u16]) -> Replica {
    let (listener, address) = listener().await;
    tokio::spawn(answer(listener, list));
    Replica { name: name.into(), address }
}

fn readiness(successes: u32) -> Readiness {
    Readiness {
        path: "/up".into(),
        initial_delay: Span::millis(0),
        period: Span::millis(100),
        timeout: Span::seconds(30),
        successes,
    }
}

async fn ready(replicas: &[Replica], readiness: &Readiness, limit: Span) -> Result<u32, Error> {
    let machine = machine();
    let probe = Probe {
        machine: &machine,
        replicas,
        readiness,
        protocol: ApplicationProtocol::Http1,
        limit,
        elapsed: Duration::ZERO,
    };
    tokio::time::timeout(LIMIT, probe.ready(&Step::default())).await.expect("the probe never ended")
}

#[tokio::test]
async fn replicas_are_asked_until_each_is_ready() {
    let replicas = [
        replica("a", &[200]).await,
        replica("b", &[503, 500, 404, 302, 204]).await,
        replica("c", &[503, 200]).await,
    ];
    assert_eq!(ready(&replicas, &readiness(1), Span::seconds(60)).await.unwrap(), 1 + 5 + 2);
}

#[tokio::test]
async fn good_answers_count_only_in_a_row() {
    let replicas = [replica("a", &[200, 200, 503, 200, 200, 200]).await];
    assert_eq!(ready(&replicas, &readiness(3), Span::seconds(60)).await.unwrap(), 6);
}

#[tokio::test]
async fn nobody_listening_and_no_answer_are_asked_again() {
    let (unused, address) = listener().await;
    drop(unused);
    let late_start = async {
        // Until the first questions have been refused.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        answer(listener, &[0, 200]).await;
    };
    let replicas = [Replica { name: "a".into(), address }];
    let readiness = Readiness { timeout: Span::millis(200), ..readiness(1) };
    tokio::select! {
        asked = ready(&replicas, &readiness, Span::seconds(60)) => assert!(asked.unwrap() >= 3),
        () = late_start => unreachable!("the application never ends"),
    }
}

#[tokio::test]
async fn who_is_late_is_named_with_the_last_answer() {
    let (unused, address) = listener().await;
    drop(unused);
    let replicas = [
        replica("a", &[200]).await,
        replica("b", &[503]).await,
        Replica { name: "c".into(), address },
        replica("d", &[0]).await,
        replica("e", &[500]).await,
    ];
    let error = ready(&replicas, &readiness(1), Span::millis(500)).await.unwrap_err();
    assert!(!error.retryable());
    let failure = Failure::from(error);
    assert!(!failure.retry);
    let message = &failure.message;
    let begin = "4 of 5 replicas on localhost not ready within 500ms: b: 503 Service Unavailable \"answer ";
    assert!(message.starts_with(begin), "{message}");
    assert!(message.contains(&format!("; c: nothing on this machine listens on {address}; ")), "{message}");
    assert!(message.ends_with("; d: no answer yet; and 1 more"), "{message}");
    let hint = failure.hint.unwrap();
    assert!(hint.starts_with("GET /up on port ") && hint.contains("timeouts.ready"), "{hint}");
}

#[tokio::test]
async fn a_worker_that_takes_over_after_the_limit_asks_all_the_same() {
    let (machine, readiness) = (machine(), readiness(2));
    let replicas = [replica("a", &[200]).await];
    let limit = Span::seconds(60);
    let probe = Probe {
        machine: &machine,
        replicas: &replicas,
        readiness: &readiness,
        protocol: ApplicationProtocol::Http1,
        limit,
        elapsed: limit.0 * 2,
    };
    assert_eq!(probe.ready(&Step::default()).await.unwrap(), 2);
}

#[tokio::test]
async fn what_can_never_be_asked_ends_it_at_once() {
    let readiness = Readiness { path: "/a b".into(), ..readiness(1) };
    let replicas = [replica("a", &[200]).await];
    let error = ready(&replicas, &readiness, Span::seconds(600)).await.unwrap_err();
    assert!(matches!(&error, Error::Unaskable { replica, .. } if replica == "a"), "{error}");
    assert!(Failure::from(error).hint.unwrap().contains("readiness_probe.path"));
}

#[tokio::test]
async fn no_replicas_are_not_ready_replicas() {
    let (machine, readiness) = (machine(), readiness(1));
    let limit = Span::seconds(60);
    let probe = Probe {
        machine: &machine,
        replicas: &[],
        readiness: &readiness,
        protocol: ApplicationProtocol::Http1,
        limit,
        elapsed: Duration::ZERO,
    };
    assert!(matches!(probe.run(&Step::default()).await, Err(Error::NoReplicas { .. })));
}

#[tokio::test]
async fn the_step_says_how_many_are_ready_and_what_one_that_is_not_says() {
    let replicas = [replica("a", &[200]).await, replica("b", &[503]).await];
    let (machine, readiness, step) = (machine(), readiness(1), Step::default());
    let limit = Span::seconds(60);
    let probe = Probe {
        machine: &machine,
        replicas: &replicas,
        readiness: &readiness,
        protocol: ApplicationProtocol::Http1,
        limit,
        elapsed: Duration::ZERO,
    };
    let mut steps = step.listen();
    let told = steps.wait_for(|step| step.starts_with("1 of 2 ready; b: 503 Service Unavailable \"answer "));
    tokio::select! {
        told = tokio::time::timeout(LIMIT, told) => { told.expect("it was never told").unwrap(); }
        ready = probe.ready(&step) => panic!("{ready:?}"),
    }
}
