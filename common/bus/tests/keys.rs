//! Keys of the bus that change: what the old ones have signed counts up to there, nothing that was left out begins to count, and
//! programs that run need no restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream;
use cutover_bus::{Error, Pace};
use cutover_core::{BusUser, Decision, LeaseTerms, Outcome, Program, Subject};
use support::crew::{Crew, Script};
use support::users::Guarded;
use support::{deploy, eventually, key, plan, until};

const BUILDER: BusUser = BusUser::Program(Program::Builder);

async fn crew_of(server: &Guarded, programs: impl IntoIterator<Item = Program>) -> Crew {
    let quick = Duration::from_millis(200);
    let mut crew = Crew::at(Pace {
        lease: LeaseTerms { renewed_every: quick, ..LeaseTerms::default() },
        services_every: quick,
        sweep_every: quick,
        kept_deployments: None,
        ..Pace::default()
    });
    for program in programs {
        crew = crew.with(&server.journal(BusUser::Program(program)).await, &Script::default(), program);
    }
    crew
}

async fn live(server: &Guarded, n: u32) {
    let operator = server.journal(BusUser::Operator).await;
    deploy(&operator, n, &["a"]).await.unwrap();
    let ended =
        until(&operator, |current| *current.id() == plan(n, &[]).deployment && current.outcome().is_some());
    assert_eq!(ended.await.outcome(), Some(Outcome::Live));
}

/// Waits until an entry stands on the decisions' subject.
async fn stands(server: &Guarded, content: &[u8]) -> u64 {
    let stream = jetstream::new(server.thief(BusUser::Operator).await.client);
    let stream = stream.get_stream("cutover").await.unwrap();
    let subject = Subject::Decisions(key()).to_string();
    let last = async || stream.get_last_raw_message_by_subject(&subject).await.ok();
    eventually(async || last().await.filter(|last| last.payload == content)).await.sequence
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_out_before_keys_changed_stays_left_out() {
    let mut server = Guarded::start().await;
    let operator = server.journal(BusUser::Operator).await;
    let (subject, forged) = (
        Subject::Decisions(key()).to_string(),
        serde_json::to_vec(&Decision::Accepted(plan(9, &["a"]))).unwrap(),
    );
    let thief = server.thief(BUILDER).await;
    let last = async || stands(&server, &forged).await;
    thief.smuggle(&subject, HeaderMap::new(), &forged).await;
    let first = last().await;
    thief.smuggle(&subject, thief.signature(&operator, &subject, "-", &forged), &forged).await;
    eventually(async || Some(last().await).filter(|last| *last > first)).await;

    server.change_keys(&[BUILDER]).await;
    server.bus(BusUser::Operator).await.put_in_force(&server.public()).await.unwrap();
    let operator = server.journal(BusUser::Operator).await;
    assert!(operator.service(&key()).await.unwrap().service().current.is_none(), "it is taken now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_retired_key_has_signed_counts_and_nothing_that_it_signs_after() {
    let mut server = Guarded::start().await;
    let crew = crew_of(&server, Program::ALL).await;
    live(&server, 1).await;
    let former = server.journal(BusUser::Operator).await;
    let thief = server.thief(BusUser::Operator).await;
    crew.stop().await;

    server.change_keys(&BusUser::ALL).await;
    server.bus(BusUser::Operator).await.put_in_force(&server.public()).await.unwrap();
    let operator = server.journal(BusUser::Operator).await;
    let service = operator.service(&key()).await.unwrap().service().clone();
    assert_eq!(service.current.unwrap().outcome(), Some(Outcome::Live), "what was signed before counts");
    let crew = crew_of(&server, Program::ALL).await;
    live(&server, 2).await;

    // The old key isn't let in. What it signs is brought by somebody who is.
    let subject = Subject::Decisions(key()).to_string();
    let forged = serde_json::to_vec(&Decision::Accepted(plan(9, &["a"]))).unwrap();
    let signature = thief.signature(&former, &subject, "-", &forged);
    server.thief(BUILDER).await.smuggle(&subject, signature, &forged).await;
    stands(&server, &forged).await;
    let service = operator.service(&key()).await.unwrap().service().clone();
    assert_eq!(*service.current.unwrap().id(), plan(2, &[]).deployment, "it was taken");
    live(&server, 3).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_run_take_the_new_key_of_another_without_a_restart() {
    let mut server = Guarded::start().await;
    let others = crew_of(&server, Program::ALL.into_iter().filter(|one| *one != Program::Builder)).await;
    let operator = server.journal(BusUser::Operator).await;
    let builder = crew_of(&server, [Program::Builder]).await;
    live(&server, 1).await;
    builder.stop().await;
    server.change_keys(&[BUILDER]).await;
    // Nobody would take what it writes.
    let waits = server.bus(BUILDER).await.open().await;
    assert!(matches!(waits, Err(Error::NotTaken { .. })), "{waits:?}");
    server.bus(BusUser::Operator).await.put_in_force(&server.public()).await.unwrap();
    let builder = crew_of(&server, [Program::Builder]).await;
    // As does whoever decides, and has opened the journal before.
    deploy(&operator, 2, &["a"]).await.unwrap();
    let ended =
        until(&operator, |current| *current.id() == plan(2, &[]).deployment && current.outcome().is_some());
    assert_eq!(ended.await.outcome(), Some(Outcome::Live));
    builder.stop().await;
    others.stop().await;
}

#[tokio::test]
async fn keys_of_before_come_back_neither_by_an_old_file_nor_by_intent() {
    let mut server = Guarded::start().await;
    let old = server.public();
    server.change_keys(&[BUILDER, BusUser::Operator]).await;
    let bus = server.bus(BusUser::Operator).await;
    let refused = bus.take_signatures_of(&server.public()).await;
    let users = [BusUser::Operator, BUILDER];
    assert!(
        matches!(&refused, Err(Error::OtherUsers { users: differ }) if *differ == users),
        "new keys want a word: {refused:?}"
    );
    // Nor does it write with a key that nobody takes.
    let undecided = deploy(&bus.open().await.unwrap(), 1, &["a"]).await;
    assert!(matches!(undecided, Err(cutover_bus::DecideError::Bus(Error::NotTaken { .. }))), "{undecided:?}");
    bus.put_in_force(&server.public()).await.unwrap();
    bus.take_signatures_of(&server.public()).await.unwrap();
    let refused = bus.take_signatures_of(&old).await;
    assert!(matches!(&refused, Err(Error::OtherUsers { users: differ }) if *differ == users), "{refused:?}");
    let refused = bus.put_in_force(&old).await;
    assert!(matches!(refused, Err(Error::SpentKey)), "{refused:?}");
    deploy(&bus.open().await.unwrap(), 1, &["a"]).await.unwrap();
}
