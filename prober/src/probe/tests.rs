use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cutover_core::{Check, Failure, HttpCheck, InferenceSpec, ProbeSpec};
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

fn readiness(successes: u32) -> ProbeSpec {
    let (period, timeout) = (Span::millis(100), Span::seconds(30));
    ProbeSpec { period, timeout, successes, ..ProbeSpec::http("/up") }
}

fn only(readiness: &ProbeSpec) -> Questions<'_> {
    Questions { startup: None, readiness, inference: None, liveness: None }
}

async fn ready(replicas: &[Replica], readiness: &ProbeSpec, limit: Span) -> Result<u32, Error> {
    ready_by(replicas, only(readiness), limit).await
}

async fn ready_by(replicas: &[Replica], questions: Questions<'_>, limit: Span) -> Result<u32, Error> {
    let machine = machine();
    let probe = Probe {
        machine: &machine,
        replicas,
        questions,
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
    let readiness = ProbeSpec { timeout: Span::millis(200), ..readiness(1) };
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
    assert!(
        hint.starts_with("GET /up on port ")
            && hint.contains(" must answer 2xx: check readiness_probe and port in"),
        "{hint}"
    );
}

#[tokio::test]
async fn a_worker_that_takes_over_after_the_limit_asks_all_the_same() {
    let (machine, readiness) = (machine(), readiness(2));
    let replicas = [replica("a", &[200]).await];
    let limit = Span::seconds(60);
    let probe = Probe {
        machine: &machine,
        replicas: &replicas,
        questions: only(&readiness),
        protocol: ApplicationProtocol::Http1,
        limit,
        elapsed: limit.0 * 2,
    };
    assert_eq!(probe.ready(&Step::default()).await.unwrap(), 2);
}

#[tokio::test]
async fn what_can_never_be_asked_ends_it_at_once() {
    let readiness = ProbeSpec::http("/a b");
    let replicas = [replica("a", &[200]).await];
    let error = ready(&replicas, &readiness, Span::seconds(600)).await.unwrap_err();
    assert!(matches!(&error, Error::Unaskable { replica, .. } if replica == "a"), "{error}");
    assert!(Failure::from(error).hint.unwrap().contains("the path of the probe"));
}

#[tokio::test]
async fn no_replicas_are_not_ready_replicas() {
    let (machine, readiness) = (machine(), readiness(1));
    let limit = Span::seconds(60);
    let probe = Probe {
        machine: &machine,
        replicas: &[],
        questions: only(&readiness),
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
        questions: only(&readiness),
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

/// A replica with a model, which answers `/embed` with what comes of the call's number, from 0 on: a status, a body, and how long
/// that takes.
async fn model(answer: fn(u32) -> (u16, &'static str, u64)) -> Replica {
    let (listener, address) = listener().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |request: Request<Incoming>| {
        let is_call = request.uri().path() == "/embed";
        let nth = if is_call { asked.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let (status, body, millis) = if is_call { answer(nth as u32) } else { (200, "up", 0) };
        async move {
            sleep(Duration::from_millis(millis)).await;
            let mut response = Response::new(Full::<Bytes>::from(body));
            *response.status_mut() = status.try_into().unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
        }
    });
    Replica { name: "a".into(), address }
}

fn inference(p95: u64) -> InferenceSpec {
    InferenceSpec {
        request: HttpCheck {
            body: Some("{}".to_owned()),
            json: vec!["length($.embedding) == 2".parse().unwrap()],
            ..HttpCheck::get("/embed")
        },
        timeout: Span::seconds(30),
        warm_up: 1,
        calls: 3,
        p95: Some(Span::millis(p95)),
        period: Span::millis(10),
        failures: 2,
    }
}

async fn inferred(answer: fn(u32) -> (u16, &'static str, u64), spec: &InferenceSpec) -> Result<u32, Error> {
    let readiness = readiness(1);
    let questions = Questions { inference: Some(spec), ..only(&readiness) };
    ready_by(&[model(answer).await], questions, Span::seconds(60)).await
}

const GOOD: &str = r#"{"embedding": [0.5, 0.25]}"#;

#[tokio::test]
async fn a_model_that_loads_late_is_waited_for_and_one_that_warms_up_is_let() {
    // Ten times another status, then a call that is slow, as the first one of its first round, and only warms up.
    let answer = |nth| match nth {
        0..10 => (503, "loading", 0),
        10 => (200, GOOD, 900),
        _ => (200, GOOD, 0),
    };
    assert_eq!(inferred(answer, &inference(600)).await.unwrap(), 1 + 10 + 1);
}

#[tokio::test]
async fn a_model_that_answers_wrongly_is_given_up_with_what_it_said() {
    let answer = |_| (200, r#"{"embedding": [0.5]}"#, 0);
    let error = inferred(answer, &inference(30_000)).await.unwrap_err();
    assert!(!error.retryable());
    assert_eq!(
        error.to_string(),
        "a on localhost failed inference_probe 2 times in a row: 200 OK \"{\"embedding\": [0.5]}\": \
         `length($.embedding) == 2` is not true: it is 1"
    );
}

#[tokio::test]
async fn a_model_that_stays_slow_is_given_up_with_what_was_measured() {
    let error = inferred(|_| (200, GOOD, 50), &inference(40)).await.unwrap_err().to_string();
    let begin = "a on localhost failed inference_probe 2 times in a row: its answers are too slow: p50 ";
    assert!(error.starts_with(begin) && error.ends_with(" of 3 calls, where p95 may be 40ms"), "{error}");
}

#[tokio::test]
async fn nothing_else_is_asked_before_the_start_is_over() {
    // The one listens, and the other one never will.
    let (starting, address) = listener().await;
    let port = Some(address.port());
    let startup = ProbeSpec { period: Span::millis(50), ..ProbeSpec::new(Check::Tcp { port }) };
    drop(starting);
    let replicas = [replica("a", &[200]).await];
    let (readiness, never) = (readiness(1), ProbeSpec { failures: Some(1), ..ProbeSpec::http("/gone") });
    let questions = Questions { startup: Some(&startup), liveness: Some(&never), ..only(&readiness) };
    let error = ready_by(&replicas, questions, Span::millis(400)).await.unwrap_err();
    let failure = Failure::from(error);
    assert!(failure.message.contains("a: startup_probe: nothing on this machine listens on"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("must be accepted: check startup_probe"));
    // Once it has started, the rest is asked.
    let _listener = TcpListener::bind(address).await.unwrap();
    let questions = Questions { liveness: None, ..questions };
    assert_eq!(ready_by(&replicas, questions, Span::seconds(60)).await.unwrap(), 2);
}

#[tokio::test]
async fn a_replica_that_fails_as_often_as_is_enough_is_not_waited_for() {
    let readiness = ProbeSpec { failures: Some(3), period: Span::millis(20), ..readiness(1) };
    let replicas = [replica("a", &[200]).await, replica("b", &[503]).await];
    let error = ready(&replicas, &readiness, Span::seconds(600)).await.unwrap_err();
    let begin = "b on localhost failed readiness_probe 3 times in a row: 503 Service Unavailable";
    assert!(error.to_string().starts_with(begin), "{error}");
    assert!(!error.retryable());
}

#[tokio::test]
async fn a_replica_that_dies_while_another_is_waited_for_is_named() {
    let readiness = readiness(1);
    let dies = ProbeSpec { failures: Some(2), period: Span::millis(20), ..ProbeSpec::http("/alive") };
    let questions = Questions { liveness: Some(&dies), ..only(&readiness) };
    // One question is for readiness, all others are whether it lives.
    let replicas = [replica("a", &[200, 200, 500]).await, replica("b", &[503]).await];
    let error = ready_by(&replicas[..1], questions, Span::seconds(600)).await;
    assert!(error.is_ok(), "it was ready before");
    let error = ready_by(&replicas, questions, Span::seconds(600)).await.unwrap_err();
    assert!(error.to_string().contains(" failed liveness_probe 2 times in a row: 50"), "{error}");
}
