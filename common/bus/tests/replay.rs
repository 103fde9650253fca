//! Entries that are stored a second time, or that others were stored in front of: what was signed for one place counts in no other,
//! and nobody can have the server take an entry for one that is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use cutover_bus::{Journal, Pace};
use cutover_core::{
    BusUser, Decision, Duty, LeaseTerms, Outcome, Program, Service, ServiceKey, Stage, Subject,
};
use futures_util::TryStreamExt;
use support::crew::{Crew, Script};
use support::users::Guarded;
use support::{deploy, eventually, key, plan, plan_of, until};

const BUILDER: BusUser = BusUser::Program(Program::Builder);

async fn stream(server: &Guarded) -> Stream {
    let client = server.thief(BusUser::Operator).await.client;
    jetstream::new(client).get_stream("cutover").await.unwrap()
}

async fn crew_of(server: &Guarded) -> Crew {
    let quick = Duration::from_millis(200);
    let mut crew = Crew::at(Pace {
        lease: LeaseTerms { renewed_every: quick, ..LeaseTerms::default() },
        services_every: quick,
        sweep_every: quick,
        kept_deployments: None,
        ..Pace::default()
    });
    for program in Program::ALL {
        crew = crew.with(&server.journal(BusUser::Program(program)).await, &Script::default(), program);
    }
    crew
}

async fn live(operator: &Journal, n: u32) {
    deploy(operator, n, &["a"]).await.unwrap();
    let ended =
        until(operator, |current| *current.id() == plan(n, &[]).deployment && current.outcome().is_some());
    assert_eq!(ended.await.outcome(), Some(Outcome::Live));
}

/// The service, read from nothing.
async fn read(operator: &Journal) -> Service {
    operator.service(&key()).await.unwrap().service().clone()
}

/// Ways to have the server store a message that is signed for another place: what it expects is compared with a subject that has
/// nothing; it stands on a line that is none for the server; it is said twice; it stands behind its own name.
fn ways(signature: &str, expected: &str) -> [String; 4] {
    let name = "Nats-Expected-Last-Subject-Sequence";
    let signature = format!("Cutover-Signature: {signature}");
    [
        format!(
            "NATS/1.0\r\n{signature}\r\n{name}: {expected}\r\n{name}-Subject: cutover.run.ship.x.y\r\n\r\n"
        ),
        format!("NATS/1.0\r\n{signature}\n{name}: {expected}\r\n\r\n"),
        format!(
            "NATS/1.0\r\n{name}-Subject: cutover.run.ship.x.y\r\n{name}: 0\r\n{name}: {expected}\r\n{signature}\r\n\r\n"
        ),
        format!("NATS/1.0\r\nNats-Msg-Id: {name}\r\n{name}: {expected}\r\n{signature}\r\n\r\n"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_taken_once_however_the_server_is_made_to_store_it_again() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    let subject = Subject::Decisions(key()).to_string();
    deploy(&operator, 1, &["a"]).await.unwrap();
    let mut log = operator.service(&key()).await.unwrap();
    let abort = Decision::Aborted { deployment: plan(1, &[]).deployment, by: "me".into() };
    operator.decide(&mut log, abort).await.unwrap();
    let aborted = stream.get_last_raw_message_by_subject(&subject).await.unwrap();
    let replayed = Decision::Replayed { deployment: plan(1, &[]).deployment, from: None, by: "me".into() };
    let crew = crew_of(&server).await;
    until(&operator, |current| current.outcome().is_some()).await;
    crew.stop().await;
    let mut log = operator.service(&key()).await.unwrap();
    operator.decide(&mut log, replayed).await.unwrap();
    let before = read(&operator).await;
    assert!(before.running().is_some_and(|running| running.abort.is_none()));

    let thief = server.thief(BUILDER).await;
    let header = |name: &str| aborted.headers.get(name).unwrap().to_string();
    let (signature, expected) = (header("Cutover-Signature"), header("Nats-Expected-Last-Subject-Sequence"));
    let (mut stored, mut last) = (0, log.service().last_decision);
    for headers in ways(&signature, &expected) {
        thief.smuggle_raw(&subject, &headers, &aborted.payload).await;
        // The server refuses some of them. What it is asked for next, it does next.
        thief.smuggle(&subject, HeaderMap::new(), headers.as_bytes()).await;
        let rubbish = async || {
            let stored = stream.get_last_raw_message_by_subject(&subject).await.ok()?;
            (stored.payload == headers.as_bytes()).then_some(stored.sequence)
        };
        let rubbish = eventually(rubbish).await;
        while last < rubbish {
            let next = stream.get_first_raw_message_by_subject(&subject, last + 1).await;
            // One that async-nats can't read is none of these.
            let Ok(next) = next else { break };
            stored += usize::from(next.payload == aborted.payload);
            last = next.sequence;
        }
        let service = read(&operator).await;
        assert!(service.running().is_some_and(|running| running.abort.is_none()), "by {headers:?}");
    }
    assert!(stored >= 2, "the server has stored {stored} of them: this tries nothing");
    let crew = crew_of(&server).await;
    until(&operator, |current| current.outcome() == Some(Outcome::Live)).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_somebody_has_used_before_keeps_no_entry_out() {
    let server = Guarded::start().await;
    let operator = server.journal(BusUser::Operator).await;
    let client = server.thief(BusUser::Program(Program::Prober)).await.client;
    let hints = jetstream::new(client);
    let id = plan(1, &[]).deployment;
    // All that the deployment is going to say, before it does.
    let mut ids = vec![format!("{id}/0/decision")];
    for stage in Stage::ALL {
        let host = if stage.per_host() { "a" } else { "" };
        ids.push(format!("{id}/{stage}/{host}/1/finished"));
        ids.push(format!("{id}/{stage}/{host}/0.1/run"));
    }
    for id in ids {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let subject = "cutover.run.build.smuggled.goods";
        hints.publish_with_headers(subject, headers, "{}".into()).await.unwrap().await.unwrap();
    }
    let crew = crew_of(&server).await;
    live(&operator, 1).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_only_a_forger_has_named_is_none() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    let other = ServiceKey { destination: "production".parse().unwrap(), service: "other".parse().unwrap() };
    let subject = Subject::Decisions(other.clone()).to_string();
    let thief = server.thief(BUILDER).await;
    let forged = serde_json::to_vec(&Decision::Accepted(plan_of(other.clone(), 7, &["a"]))).unwrap();
    let signature = thief.signature(&operator, &subject, "0", &forged);
    thief.smuggle(&subject, signature, &forged).await;
    eventually(async || stream.get_last_raw_message_by_subject(&subject).await.ok()).await;
    assert_eq!(operator.services().await.unwrap(), []);
    let crew = crew_of(&server).await;
    live(&operator, 1).await;
    assert_eq!(operator.services().await.unwrap(), [key()]);
    // Nobody has taken the lease of a service that there isn't.
    let leases = jetstream::new(server.thief(BusUser::Operator).await.client);
    let leases = leases.get_stream("cutover-lease").await.unwrap();
    let held = async || {
        let held: Vec<_> =
            leases.info_with_subjects("cutover.lease.>").await.unwrap().try_collect().await.unwrap();
        held.into_iter().map(|(subject, _)| subject).collect::<Vec<_>>()
    };
    let swept = Subject::lease_of(Duty::Sweep, &key());
    eventually(async || held().await.contains(&swept).then_some(())).await;
    assert_eq!(held().await, [swept]);
    // Once somebody decides on it who may, it is one.
    let mut log = operator.service(&other).await.unwrap();
    operator.decide(&mut log, Decision::Accepted(plan_of(other.clone(), 8, &["a"]))).await.unwrap();
    assert_eq!(operator.services().await.unwrap(), [key(), other]);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_that_comes_all_the_time_costs_no_snapshot() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    let crew = crew_of(&server).await;
    live(&operator, 1).await;
    let subject = Subject::State(key()).to_string();
    let thief = server.thief(BusUser::Observer).await;
    let flooded = subject.clone();
    let flood = tokio::spawn(async move {
        loop {
            thief.deliver("$JS.API.STREAM.INFO.cutover", "", &flooded).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    for n in 2..=23 {
        live(&operator, n).await;
    }
    flood.abort();
    crew.stop().await;
    // So much has ended that what the first ones have left is purged: it is in a snapshot, or nowhere.
    let service = read(&operator).await;
    assert!(stream.get_first_raw_message_by_subject(Subject::log_of(&key()), 1).await.unwrap().sequence > 20);
    assert_eq!(service.history.len(), 23, "{:?}", service.history);
    assert_eq!(*service.current.unwrap().id(), plan(23, &[]).deployment);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_clients_can_not_read_keep_nobody_from_reading() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    let subject = Subject::Decisions(key()).to_string();
    let thief = server.thief(BUILDER).await;
    for (stored, headers) in
        ["NATS/1.0\r\nno colon\r\n\r\n", "NATS/1.0\r\nA: b\rc\r\n\r\n", "NATS/1.0 nonsense\r\n\r\n"]
            .iter()
            .enumerate()
    {
        thief.smuggle_raw(&subject, headers, b"{}").await;
        let count = async || stream.info_with_subjects(&subject).await.unwrap().try_next().await.unwrap();
        eventually(async || count().await.filter(|(_, count)| *count == stored + 1)).await;
    }
    assert!(read(&operator).await.current.is_none());
    deploy(&operator, 1, &["a"]).await.unwrap();
    assert!(read(&operator).await.running().is_some());
}
