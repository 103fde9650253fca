//! Messages whose headers the client library can't read: it loses the connection over some, and ends over others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use async_nats::jetstream;
use cutover_bus::Pace;
use cutover_core::{BusUser, Duty, Fact, LeaseTerms, Outcome, Program, Progress, Stage, Subject, Task};
use cutover_telemetry::Metrics;
use support::crew::{Crew, Script};
use support::users::Guarded;
use support::{deploy, ended, eventually, key, plan, until};

/// Over these the client ends.
const ENDS: &str = "NATS/1.0\r\nA: b\rc\r\n\r\n";
/// Over these it loses the connection.
const LOSES: &str = "NATS/1.0\r\nno colon\r\n\r\n";
/// What it means where nothing ends.
const READABLE: &str = "async-nats reads it by now: a connection of its own has no use any more";

/// One worker of each program, each with its own key, that do their duties often.
async fn crew_of(server: &Guarded, script: &Script) -> Crew {
    let quick = Duration::from_millis(200);
    let mut crew = Crew::at(Pace {
        lease: LeaseTerms { renewed_every: quick, ..LeaseTerms::default() },
        services_every: quick,
        sweep_every: quick,
        kept_deployments: None,
        ..Pace::default()
    });
    for program in Program::ALL {
        crew = crew.with(&server.journal(BusUser::Program(program)).await, script, program);
    }
    crew
}

/// How many messages were left out for a reason.
fn refused(metrics: &Metrics, reason: &str) -> u64 {
    let gathered = metrics.registry().gather();
    let of = gathered.iter().find(|family| family.name() == "cutover_bus_refused_total");
    let metrics = of.map(|family| family.get_metric()).unwrap_or_default();
    let count =
        metrics.iter().filter(|metric| metric.get_label().iter().any(|label| label.value() == reason));
    count.map(|metric| metric.get_counter().get_value() as u64).sum()
}

/// Whether deployments pass with such hints before and among them; says how often a connection has ended.
async fn passes_with(headers: &str) -> u64 {
    let server = Guarded::start().await;
    let operator = server.journal(BusUser::Operator).await;
    let thief = server.thief(BusUser::Program(Program::Prober)).await;
    thief.smuggle_raw("cutover.run.ship.smuggled.goods", headers, b"{}").await;
    let script = Script { takes: Duration::from_secs(1), ..Script::default() };
    let crew = crew_of(&server, &script).await;
    let build = Task { stage: Stage::Build, host: None };
    for n in 1..=2 {
        deploy(&operator, n, &["a"]).await.unwrap();
        until(&operator, |current| {
            *current.id() == plan(n, &[]).deployment && current.state(&build).is_open()
        })
        .await;
        // Somebody is at work when it comes; each slot takes one.
        for _ in 0..3 {
            thief.smuggle_raw("cutover.run.build.smuggled.goods", headers, b"{}").await;
        }
        assert_eq!(ended(&operator).await.outcome(), Some(Outcome::Live));
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
    let ends = refused(&crew.metrics, "ended-connection");
    // All programs are still there, and nobody had to begin a task anew.
    crew.stop().await;
    assert_eq!(script.times(Stage::Build), 2);
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_ends_the_client_cuts_no_task_off_and_is_left_out() {
    assert!(passes_with(ENDS).await > 0, "{READABLE}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_over_which_the_connection_is_lost_is_left_out_once_it_is_back() {
    assert_eq!(passes_with(LOSES).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_or_a_lease_that_ends_the_client_keeps_nobody_from_reading_on() {
    for headers in [ENDS, LOSES] {
        let server = Guarded::start().await;
        let (operator, observer) =
            (server.journal(BusUser::Operator).await, server.journal(BusUser::Observer).await);
        let thief = server.thief(BusUser::Program(Program::Builder)).await;
        let (key, deployment) = (key(), plan(1, &[]).deployment);
        let task = Task { stage: Stage::Build, host: None };
        let output = Subject::output_of(&key, &deployment, &task);
        let mut watch = observer.watch(&key).await.unwrap();
        let mut lines = observer.output(&key, &deployment, true);
        let crew = crew_of(&server, &Script::default()).await;
        deploy(&operator, 1, &["a"]).await.unwrap();
        // More of each than are read one by one.
        let kind = Fact::Progressed { claim: 1, progress: Progress::Step("x".to_owned()) }.kind();
        let fact = Subject::Fact { key: key.clone(), deployment: deployment.clone(), task, kind }.to_string();
        for n in 0..5 {
            thief.client.request(output.clone(), format!("{n}").into()).await.unwrap();
            thief.smuggle_raw(&fact, headers, b"{}").await;
            thief.smuggle_raw(&output, headers, format!("bad {n}").as_bytes()).await;
            thief.smuggle_raw(&Subject::lease_of(Duty::Sweep, &key), headers, b"{}").await;
        }
        let mut heard = Vec::new();
        while heard.last().is_none_or(|last| last != "4") {
            let line = tokio::time::timeout(Duration::from_secs(60), lines.next()).await;
            heard.push(line.expect("no line within a minute").unwrap().unwrap().line);
        }
        let heard: Vec<_> = heard.into_iter().filter(|line| line.parse::<u32>().is_ok()).collect();
        assert_eq!(heard, ["0", "1", "2", "3", "4"]);
        let outcome =
            |watch: &cutover_bus::Watch| watch.service().current.as_ref().and_then(|it| it.outcome());
        let end = async {
            while outcome(&watch).is_none() {
                watch.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), end).await.expect("no end within a minute");
        assert_eq!(outcome(&watch), Some(Outcome::Live));
        // Whoever begins now reads all of it, and somebody has the lease again.
        let read = server.journal(BusUser::Observer).await.service(&key).await.unwrap();
        assert_eq!(read.service(), watch.service());
        let client = server.thief(BusUser::Operator).await.client;
        let leases = jetstream::new(client).get_stream("cutover-lease").await.unwrap();
        let lease = Subject::lease_of(Duty::Sweep, &key);
        let last = async || leases.get_last_raw_message_by_subject(&lease).await.ok();
        eventually(async || last().await.filter(|last| last.payload != "{}")).await;
        crew.stop().await;
    }
}
