//! What is due later, though nobody asks: by a timer alone, and by the sweep alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use async_nats::jetstream;
use cutover_bus::{Bus, Copies, Journal, Pace};
use cutover_core::{Decision, LeaseTerms, Service, Span, Stage, Subject};
use support::cluster::LOG;
use support::crew::{Crew, Script};
use support::{Server, deploy, ended, key, plan, until, until_service};

const TIMER: &str = "cutover-timer";
const LEASE: &str = "cutover-lease";
const HOUR: Duration = Duration::from_secs(3600);

/// Leases are looked at once, when there is nothing to sweep, and then not for an hour.
fn no_sweep() -> Pace {
    let lease = LeaseTerms { renewed_every: HOUR, ..LeaseTerms::default() };
    Pace { lease, services_every: HOUR, sweep_every: HOUR, ..Pace::default() }
}

fn quick_sweep() -> Pace {
    let lease = LeaseTerms { renewed_every: Duration::from_millis(200), ..LeaseTerms::default() };
    let quick = Duration::from_millis(200);
    Pace { lease, services_every: quick, sweep_every: quick, ..Pace::default() }
}

/// Deploys twice, so that the replicas of the first stay warm for a while; they are to be cooled then.
async fn deploy_with_something_left_to_do(journal: &Journal) {
    deploy(journal, 1, &["a"]).await.unwrap();
    ended(journal).await;
    let mut second = plan(2, &["a"]);
    second.release.settings.warm = Span::seconds(2);
    let mut log = journal.service(&key()).await.unwrap();
    journal.decide(&mut log, Decision::Accepted(second)).await.unwrap();
    let is_second = |service: &Service| service.live().is_some_and(|live| live.release.version == "v2");
    let owing = until_service(journal, is_second).await;
    let owed: Vec<Stage> = owing.obligations.iter().map(|owed| owed.task.stage).collect();
    assert_eq!(owed, [Stage::Cool]);
}

async fn cooled(journal: &Journal) {
    until_service(journal, |service| service.obligations.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_wakes_what_is_due_later() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script::default();
    let crew = Crew::at(no_sweep()).and_each(&journal, &script);
    Box::pin(deploy_with_something_left_to_do(&journal)).await;
    let stream = jetstream::new(server.client().await).get_stream(TIMER).await.unwrap();
    cooled(&journal).await;
    assert_eq!(script.times(Stage::Cool), 1);
    stream.get_last_raw_message_by_subject(&Subject::due_of(&key())).await.expect("it has gone off");
    let left = stream.get_last_raw_message_by_subject(&Subject::timer_of(&key())).await;
    assert!(left.is_err(), "{left:?}");
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_finds_what_is_due_where_there_are_no_timers() {
    let server = Server::start().await;
    let journal = server.journal().await;
    jetstream::new(server.client().await).delete_stream(TIMER).await.unwrap();
    let script = Script::default();
    let crew = Crew::at(quick_sweep()).and_each(&journal, &script);
    Box::pin(deploy_with_something_left_to_do(&journal)).await;
    cooled(&journal).await;
    assert_eq!(script.times(Stage::Cool), 1);
    crew.stop().await;
}

#[tokio::test]
async fn a_timer_outlives_its_server() {
    let mut server = Server::start().await;
    let journal = server.journal().await;
    let script = Script::default();
    let crew = Crew::at(no_sweep()).and_each(&journal, &script);
    Box::pin(deploy_with_something_left_to_do(&journal)).await;
    server.node.kill();
    server.node.start_again();
    server.node.answers().await;
    cooled(&journal).await;
    assert!(script.times(Stage::Cool) > 0);
    crew.stop().await;
}

#[tokio::test]
async fn what_is_owed_is_done_though_the_consumers_were_lost() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script { hang_once_in: Some(Stage::Cool), ..Script::default() };
    let crew = Crew::at(no_sweep()).and_each(&journal, &script);
    Box::pin(deploy_with_something_left_to_do(&journal)).await;
    until_service(&journal, |service| service.obligations.iter().any(|owed| owed.state.is_open())).await;
    let log = jetstream::new(server.client().await).get_stream(LOG).await.unwrap();
    for stage in Stage::ALL {
        log.delete_consumer(&format!("run-{stage}")).await.unwrap();
    }
    journal.bus().set_up(Copies::One).await.unwrap();
    cooled(&journal).await;
    assert_eq!(script.times(Stage::Cool), 2);
    crew.stop().await;
}

#[tokio::test]
async fn a_journal_of_an_earlier_version_gets_the_streams_that_it_lacks() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let jetstream = jetstream::new(server.client().await);
    for stream in [TIMER, LEASE] {
        jetstream.delete_stream(stream).await.unwrap();
    }
    let again = Bus::connect(&server.url(), "test").await.unwrap();
    assert_eq!(again.set_up(Copies::One).await.unwrap(), *journal.id());
    let timer = jetstream.get_stream(TIMER).await.unwrap();
    assert!(timer.cached_info().config.allow_message_schedules);
    timer.consumer_info("wake").await.unwrap();
    assert_eq!(jetstream.get_stream(LEASE).await.unwrap().cached_info().config.max_messages_per_subject, 1);
    again.set_up(Copies::One).await.unwrap();
}

#[tokio::test]
async fn who_may_publish_a_hint_can_not_wipe_the_journal() {
    let server = Server::start().await;
    let journal = server.journal().await;
    deploy(&journal, 1, &["a"]).await.unwrap();
    let jetstream = jetstream::new(server.client().await);
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Rollup", "all");
    let subject = Subject::Run { stage: Stage::Build, key: key() }.to_string();
    let answer = jetstream.publish_with_headers(subject, headers, "".into()).await.unwrap().await;
    assert!(answer.is_err(), "{answer:?}");
    let kept = jetstream.get_stream(LOG).await.unwrap().cached_info().state.messages;
    assert_eq!(kept, 2, "the decision, and its work");
    until(&journal, |current| current.outcome().is_none()).await;
}
