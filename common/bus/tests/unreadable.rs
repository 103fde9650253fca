//! Work messages whose headers the client library can't read: it loses the connection over some, and ends over others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::jetstream;
use cutover_bus::{Error, Pace, WorkerOptions, work_at};
use cutover_core::{BusUser, Outcome, Program};
use cutover_telemetry::Metrics;
use support::crew::Script;
use support::users::Guarded;
use support::{deploy, ended, eventually};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A program that is started again each time that it ends because it hears nothing any more; counts how often.
async fn kept(server: Arc<Guarded>, program: Program, stop: CancellationToken, ends: Arc<AtomicUsize>) {
    loop {
        let journal = server.journal(BusUser::Program(program)).await;
        let (version, name) = ("0.0.1".to_owned(), program.to_string());
        let options = WorkerOptions { program, version, name, slots: 2, at_point: None };
        let (script, metrics) = (Script::default(), Metrics::new().unwrap());
        match work_at(Pace::default(), journal, options, script, metrics, stop.clone()).await {
            Ok(()) => return,
            Err(Error::Deaf) => ends.fetch_add(1, Ordering::Relaxed),
            Err(error) => panic!("{program}: {error}"),
        };
    }
}

/// Whether a deployment passes after such a hint for the builder and one for the shipper; says how often a program was started again.
async fn passes_with(headers: &str) -> usize {
    let server = Arc::new(Guarded::start().await);
    let operator = server.journal(BusUser::Operator).await;
    let thief = server.thief(BusUser::Program(Program::Prober)).await;
    thief.smuggle_raw("cutover.run.ship.smuggled.goods", headers, b"{}").await;
    let (stop, ends) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let mut programs = JoinSet::new();
    for program in Program::ALL {
        programs.spawn(kept(Arc::clone(&server), program, stop.clone(), Arc::clone(&ends)));
    }
    for n in 1..=2 {
        deploy(&operator, n, &["a"]).await.unwrap();
        assert_eq!(ended(&operator).await.outcome(), Some(Outcome::Live));
        // It comes while they are at work, too.
        thief.smuggle_raw("cutover.run.ship.smuggled.goods", headers, b"{}").await;
    }
    // None of them is handed out again.
    let log =
        jetstream::new(server.thief(BusUser::Operator).await.client).get_stream("cutover").await.unwrap();
    for consumer in ["run-build", "run-ship"] {
        let left = async || {
            let info = log.consumer_info(consumer).await.unwrap();
            info.num_ack_pending as u64 + info.num_pending
        };
        eventually(async || (left().await == 0).then_some(())).await;
    }
    stop.cancel();
    while let Some(ended) = programs.join_next().await {
        ended.unwrap();
    }
    ends.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_ends_the_client_is_left_out_by_the_program_that_is_started_again() {
    let ends = passes_with("NATS/1.0\r\nA: b\rc\r\n\r\n").await;
    assert!(ends > 0, "async-nats reads it by now: `Error::Deaf` has no use any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_over_which_the_connection_is_lost_is_left_out_once_it_is_back() {
    assert_eq!(passes_with("NATS/1.0\r\nno colon\r\n\r\n").await, 0);
}
