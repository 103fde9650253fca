//! The worker loop and the journal on a real server: who wins, what is taken over, what is taken back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use cutover_bus::DecideError;
use cutover_core::{
    Decision, Outcome, PROTOCOL, Plan, Program, Refused, ServiceKey, Stage, Subject, Task, Work,
};
use support::crew::{Crew, Script};
use support::{Server, deploy, key, plan_of, until};
use tokio::task::JoinHandle;

#[tokio::test]
async fn a_deployment_goes_live_and_a_later_reader_begins_at_the_snapshot() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script::default();
    let crew = Crew::of_each(&journal, &script);
    deploy(&journal, 1, &["a", "b"]).await.unwrap();
    let ended = until(&journal, |current| current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::Live));
    assert_eq!((script.times(Stage::Build), script.times(Stage::Ship), script.times(Stage::Soak)), (1, 2, 1));
    deploy(&journal, 2, &["a", "b"]).await.unwrap();
    until(&journal, |current| current.id() != ended.id() && current.outcome().is_some()).await;
    crew.stop().await;

    let log = journal.service(&key()).await.unwrap();
    assert!(
        log.service().snapshot_taken,
        "the last worker writes a snapshot of each end before it acknowledges"
    );
    assert_eq!(log.service().live().unwrap().release.version, "v2");
    assert_eq!(journal.services().await.unwrap(), [key()]);
}

#[tokio::test]
async fn slots_that_were_idle_take_work_on_its_first_delivery() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script::default();
    let crew = Crew::of_each(&journal, &script);
    // In the middle of the first request for work, past whatever the client does in the meantime.
    tokio::time::sleep(Duration::from_secs(5)).await;
    deploy(&journal, 1, &["a"]).await.unwrap();
    assert_eq!(until(&journal, |current| current.outcome().is_some()).await.outcome(), Some(Outcome::Live));
    let gathered = crew.metrics.registry().gather();
    assert!(
        gathered.iter().all(|family| family.name() != "cutover_redeliveries_total"),
        "work was delivered to a slot that did not listen"
    );
    crew.stop().await;
}

#[tokio::test]
async fn of_fifty_deployers_one_wins_and_the_others_are_told_who() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let deployers: Vec<_> = (1..=50)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(async move { deploy(&journal, n, &["a"]).await })
        })
        .collect();
    let mut winners = 0;
    let mut told = BTreeSet::new();
    for deployer in deployers {
        match deployer.await.unwrap() {
            Ok(()) => winners += 1,
            Err(DecideError::Refused(Refused::Running { by, .. })) => {
                told.insert(by);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((winners, told.len()), (1, 1));
}

#[tokio::test]
async fn an_attempt_that_may_go_better_is_repeated() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script { fail_once_in: Some(Stage::Ship), ..Script::default() };
    let crew = Crew::of_each(&journal, &script);
    deploy(&journal, 1, &["a"]).await.unwrap();
    let ended = until(&journal, |current| current.outcome().is_some()).await;
    assert_eq!((ended.outcome(), script.times(Stage::Ship)), (Some(Outcome::Live), 2));
    crew.stop().await;
}

#[tokio::test]
async fn a_failure_before_the_switch_is_taken_back_and_replayed_from_the_boot() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script { fail_in: Some(Stage::Probe), ..Script::default() };
    let crew = Crew::of_each(&journal, &script);
    deploy(&journal, 1, &["a"]).await.unwrap();
    let ended = until(&journal, |current| current.outcome().is_some()).await;
    assert_eq!((ended.outcome(), script.times(Stage::Discard)), (Some(Outcome::TakenBack), 1));
    assert_eq!(script.times(Stage::Switch) + script.times(Stage::Restore), 0);
    crew.stop().await;

    let mended = Script::default();
    let crew = Crew::of_each(&journal, &mended);
    let mut log = journal.service(&key()).await.unwrap();
    let replay = Decision::Replayed { deployment: ended.id().clone(), by: "tester@here".into(), from: None };
    journal.decide(&mut log, replay).await.unwrap();
    let ended = until(&journal, |current| current.round == 2 && current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::Live));
    assert_eq!((mended.times(Stage::Build), mended.times(Stage::Ship), mended.times(Stage::Boot)), (0, 0, 1));
    crew.stop().await;
}

#[tokio::test]
async fn a_task_whose_worker_vanished_is_taken_over() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let hung = Script { hang_in: Some(Stage::Build), ..Script::default() };
    let lost = Crew::new().with(&journal, &hung, Program::Builder);
    deploy(&journal, 1, &["a"]).await.unwrap();
    let build = Task { stage: Stage::Build, host: None };
    until(&journal, |current| current.state(&build).is_open()).await;
    // Like a SIGKILL: nothing is said, nothing is handed back.
    lost.workers.iter().for_each(JoinHandle::abort);

    let script = Script::default();
    let crew = Crew::of_each(&journal, &script);
    let ended = until(&journal, |current| current.outcome().is_some()).await;
    assert_eq!((ended.outcome(), ended.state(&build).claims), (Some(Outcome::Live), 2));
    crew.stop().await;
}

#[tokio::test]
async fn an_abort_stops_the_task_that_runs_and_takes_back_what_was_done() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script { hang_in: Some(Stage::Soak), ..Script::default() };
    let crew = Crew::of_each(&journal, &script);
    deploy(&journal, 1, &["a", "b"]).await.unwrap();
    let soak = Task { stage: Stage::Soak, host: None };
    let running = until(&journal, |current| current.state(&soak).is_open()).await;
    let mut log = journal.service(&key()).await.unwrap();
    let abort = Decision::Aborted { deployment: running.id().clone(), by: "tester@here".into() };
    journal.decide(&mut log, abort).await.unwrap();
    let ended = until(&journal, |current| current.outcome().is_some()).await;
    assert_eq!(ended.outcome(), Some(Outcome::Aborted));
    assert_eq!(
        (script.times(Stage::Restore), script.times(Stage::Discard), script.times(Stage::Retire)),
        (2, 2, 0)
    );
    crew.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_hands_its_task_back_at_once() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let hung = Script { hang_in: Some(Stage::Build), ..Script::default() };
    let first = Crew::new().with(&journal, &hung, Program::Builder);
    deploy(&journal, 1, &["a"]).await.unwrap();
    let build = Task { stage: Stage::Build, host: None };
    until(&journal, |current| current.state(&build).is_open()).await;
    first.stop().await;
    let script = Script::default();
    let crew = Crew::of_each(&journal, &script);
    assert_eq!(until(&journal, |current| current.outcome().is_some()).await.outcome(), Some(Outcome::Live));
    crew.stop().await;
}

#[tokio::test]
async fn work_that_nobody_has_decided_does_nothing() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script::default();
    let crew = Crew::of_each(&journal, &script);
    let client = async_nats::connect(server.url()).await.unwrap();
    let subject = Subject::Run { stage: Stage::Retire, key: key() }.to_string();
    let forged = Work {
        protocol: PROTOCOL,
        deployment: format!("{:0>26}", 7).parse().unwrap(),
        task: Task { stage: Stage::Retire, host: Some("a".parse().unwrap()) },
        attempt: 1,
    };
    let jetstream = async_nats::jetstream::new(client);
    for payload in [serde_json::to_vec(&forged).unwrap(), b"nonsense".to_vec()] {
        jetstream.publish(subject.clone(), payload.into()).await.unwrap().await.unwrap();
    }
    // A deployment after it shows that the forged messages are behind the workers, and stopped nothing.
    deploy(&journal, 1, &["a"]).await.unwrap();
    let ended = until(&journal, |current| current.outcome().is_some()).await;
    assert_eq!((ended.outcome(), script.times(Stage::Retire)), (Some(Outcome::Live), 1));
    crew.stop().await;
}

#[tokio::test]
async fn work_of_a_newer_protocol_is_left_to_those_who_know_it() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script::default();
    let crew = Crew::of_each(&journal, &script);
    let newer = ServiceKey { service: "newer".parse().unwrap(), ..key() };
    let plan = Plan { protocol: PROTOCOL + 1, ..*plan_of(newer.clone(), 7, &["a"]) };
    let mut log = journal.service(&newer).await.unwrap();
    journal.decide(&mut log, Decision::Accepted(Box::new(plan))).await.unwrap();
    // A deployment of another service after it shows that the workers have seen it.
    deploy(&journal, 1, &["a"]).await.unwrap();
    let ended = until(&journal, |current| current.outcome().is_some()).await;
    assert_eq!((ended.outcome(), script.times(Stage::Build)), (Some(Outcome::Live), 1));
    let waits = journal.service(&newer).await.unwrap().service().running().unwrap().clone();
    let build = Task { stage: Stage::Build, host: None };
    assert!(!waits.state(&build).is_open() && !waits.state(&build).is_finished());
    crew.stop().await;
}

#[tokio::test]
async fn who_is_there_is_known_for_as_long_as_it_is() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let shipper = Crew::new().with(&journal, &Script::default(), Program::Shipper);
    let there = async {
        loop {
            let present = journal.bus().presence(&[Program::Shipper], Duration::from_secs(1)).await.unwrap();
            if let Some(present) = present.into_iter().next() {
                return present;
            }
        }
    };
    let present = tokio::time::timeout(Duration::from_secs(20), there).await.unwrap();
    assert_eq!((present.program, present.protocol), (Program::Shipper, PROTOCOL));
    shipper.stop().await;
    let left = journal.bus().presence(&[Program::Shipper], Duration::from_millis(500)).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
