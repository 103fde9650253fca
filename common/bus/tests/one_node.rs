//! One node, as the embedded default is, at its limits: many hosts, lost answers, lost consumers, a full log, a wiped folder, a
//! server that is silent for a while.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use async_nats::jetstream;
use cutover_bus::{Bus, Copies, DecideError, Error};
use cutover_core::{Decision, Outcome, Program, Stage, Subject, Task, Work};
use support::checker::{self, Findings};
use support::cluster::LOG;
use support::crew::{Crew, Script};
use support::notes::{Notes, Sheet};
use support::relay::Relay;
use support::{Server, deploy, ended, key, plan, until};

const BUILD: Task = Task { stage: Stage::Build, host: None };

/// Checks the whole log.
async fn check(server: &Server, sheet: &Sheet) -> Findings {
    checker::check(&server.client().await, sheet).await
}

/// What is checked of decisions: that these were taken.
fn taken(decisions: impl IntoIterator<Item = Decision>) -> Sheet {
    let notes = Notes::default();
    decisions.into_iter().for_each(|decision| notes.decided(&key(), decision));
    notes.sheet()
}

async fn limit_messages(client: &async_nats::Client, limit: impl FnOnce(u64) -> i64) {
    let jetstream = jetstream::new(client.clone());
    let info = jetstream.get_stream(LOG).await.unwrap().cached_info().clone();
    let config = jetstream::stream::Config { max_messages: limit(info.state.messages), ..info.config };
    jetstream.update_stream(config).await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "was acknowledged, and is not there")]
async fn the_checker_misses_what_is_not_there() {
    let server = Server::start().await;
    deploy(&server.journal().await, 1, &["a"]).await.unwrap();
    check(&server, &taken([1, 2].map(|n| Decision::Accepted(plan(n, &["a"]))))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_of_250_hosts_is_published() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let hosts: Vec<_> = (0..250).map(|n| format!("h{n}")).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let crew = Crew::of_each(&journal, &Script { hang_in: Some(Stage::Ship), ..Script::default() });
    deploy(&journal, 1, &hosts).await.unwrap();
    let jetstream = jetstream::new(server.client().await);
    let work = async |wanted: u64| {
        let wait = async {
            loop {
                let info = jetstream.get_stream(LOG).await.unwrap().consumer_info("run-ship").await.unwrap();
                if info.num_pending + u64::try_from(info.num_ack_pending).unwrap() == wanted {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("not so within 30 s");
    };
    work(250).await;
    let mut log = journal.service(&key()).await.unwrap();
    let abort = Decision::Aborted { deployment: plan(1, &hosts).deployment, by: "tester@here".into() };
    journal.decide(&mut log, abort.clone()).await.unwrap();
    assert_eq!(ended(&journal).await.outcome(), Some(Outcome::Aborted));
    // What nobody has claimed is acknowledged, once it is not wanted.
    work(0).await;
    crew.stop().await;
    check(&server, &taken([Decision::Accepted(plan(1, &hosts)), abort])).await;
}

#[tokio::test]
async fn a_result_lands_though_the_work_that_follows_was_published_by_another() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let plan = plan(1, &["a"]);
    let ship = Work {
        protocol: plan.protocol,
        deployment: plan.deployment.clone(),
        task: Task { stage: Stage::Ship, host: Some("a".parse().unwrap()) },
        attempt: 1,
    };
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", format!("{}/ship/a/0.1/run", plan.deployment));
    let subject = Subject::Run { stage: Stage::Ship, key: key() }.to_string();
    let payload = serde_json::to_vec(&ship).unwrap().into();
    let jetstream = jetstream::new(server.client().await);
    deploy(&journal, 1, &["a"]).await.unwrap();
    jetstream.publish_with_headers(subject, headers, payload).await.unwrap().await.unwrap();

    let script = Script::default();
    let crew = Crew::of_each(&journal, &script);
    assert_eq!(ended(&journal).await.outcome(), Some(Outcome::Live));
    crew.stop().await;
    assert_eq!((script.times(Stage::Build), script.times(Stage::Ship)), (1, 1));
    check(&server, &taken([Decision::Accepted(plan)])).await;
}

#[tokio::test]
async fn what_was_stored_though_its_answer_was_lost_is_found_in_the_log() {
    let server = Server::start().await;
    server.journal().await;
    let relay = Relay::before(&server.url()).await;
    let open = async || Bus::connect(&relay.url(), "test").await.unwrap().open().await.unwrap();
    relay.lose_the_answer_to("production.hello.decisions");
    deploy(&open().await, 1, &["a"]).await.unwrap();
    assert!(relay.has_lost_it());

    relay.lose_the_answer_to("build._.claimed");
    let script = Script::default();
    let builder = Crew::new().with(&open().await, &script, Program::Builder);
    let journal = server.journal().await;
    until(&journal, |current| current.state(&BUILD).is_finished()).await;
    assert!(relay.has_lost_it());

    relay.lose_the_answer_to("ship.a.finished");
    let shipper = Crew::new().with(&open().await, &script, Program::Shipper);
    let others = [Program::Prober, Program::Switcher];
    let others = others.iter().fold(Crew::new(), |crew, program| crew.with(&journal, &script, *program));
    let ended = ended(&journal).await;
    assert!(relay.has_lost_it());
    assert_eq!((ended.outcome(), ended.state(&BUILD).claims), (Some(Outcome::Live), 1));
    assert_eq!((script.times(Stage::Build), script.times(Stage::Ship)), (1, 1), "nothing is done twice");
    for crew in [builder, shipper, others] {
        crew.stop().await;
    }
    check(&server, &taken([Decision::Accepted(plan(1, &["a"]))])).await;
}

#[tokio::test]
async fn a_consumer_that_was_deleted_is_made_again_from_the_oldest_work_that_is_open() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let crew = Crew::of_each(&journal, &Script::default());
    deploy(&journal, 1, &["a"]).await.unwrap();
    ended(&journal).await;
    crew.stop().await;
    let script = Script { hang_once_in: Some(Stage::Ship), ..Script::default() };
    let crew = Crew::of_each(&journal, &script);
    deploy(&journal, 2, &["a"]).await.unwrap();
    let ship = Task { stage: Stage::Ship, host: Some("a".parse().unwrap()) };
    let running = until(&journal, |current| current.state(&ship).is_open()).await;

    let stream = jetstream::new(server.client().await).get_stream(LOG).await.unwrap();
    for stage in Stage::ALL {
        stream.delete_consumer(&format!("run-{stage}")).await.unwrap();
    }
    journal.bus().set_up(Copies::One).await.unwrap();
    let from = stream.consumer_info("run-ship").await.unwrap().config.deliver_policy;
    let start_sequence = running.round_began;
    assert_eq!(from, jetstream::consumer::DeliverPolicy::ByStartSequence { start_sequence });
    let ended = until(&journal, |current| current.id() == running.id() && current.outcome().is_some()).await;
    // The message came again while the first worker was at work: the second has taken the task over.
    assert_eq!((ended.outcome(), ended.state(&ship).claims), (Some(Outcome::Live), 2));
    crew.stop().await;
    check(&server, &taken([1, 2].map(|n| Decision::Accepted(plan(n, &["a"]))))).await;
}

#[tokio::test]
async fn a_full_log_says_so_and_goes_on_once_it_is_larger() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    let crew = Crew::of_each(&journal, &Script::default());
    deploy(&journal, 1, &["a"]).await.unwrap();
    ended(&journal).await;
    let full = |messages: u64, more: i64| i64::try_from(messages).unwrap() + more;
    limit_messages(&client, |messages| full(messages, 0)).await;
    let refused = deploy(&journal, 2, &["a"]).await;
    assert!(matches!(refused, Err(DecideError::Bus(Error::Full))), "{refused:?}");

    // The decision, its work and the claim; no room for the result.
    limit_messages(&client, |messages| full(messages, 3)).await;
    deploy(&journal, 2, &["a"]).await.unwrap();
    until(&journal, |current| current.id().as_str().ends_with('2') && current.state(&BUILD).is_open()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stuck = journal.service(&key()).await.unwrap();
    assert!(stuck.service().running().unwrap().state(&BUILD).is_open());
    limit_messages(&client, |_| -1).await;
    let ended =
        until(&journal, |current| current.id().as_str().ends_with('2') && current.outcome().is_some());
    assert_eq!(ended.await.outcome(), Some(Outcome::Live));
    crew.stop().await;
    check(&server, &taken([1, 2].map(|n| Decision::Accepted(plan(n, &["a"]))))).await;
}

#[tokio::test]
async fn a_wiped_folder_is_another_journal_and_workers_of_the_former_one_stop() {
    let mut server = Server::start().await;
    let former = server.journal().await;
    let script = Script::default();
    let mut builder = Crew::new().with(&former, &script, Program::Builder);
    deploy(&former, 1, &["a"]).await.unwrap();
    until(&former, |current| current.state(&BUILD).is_finished()).await;
    server.node.kill();
    server.node.start_anew();
    server.node.answers().await;
    let journal = server.journal().await;
    assert_ne!(journal.id(), former.id());

    deploy(&journal, 2, &["a"]).await.unwrap();
    let stopped = builder.workers.pop().unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(30), stopped).await.unwrap().unwrap();
    assert!(
        matches!(&stopped, Err(Error::OtherJournal { before, now }) if before == former.id() && now == journal.id()),
        "{stopped:?}"
    );
    assert_eq!(script.times(Stage::Build), 1, "nothing is done under an epoch of a journal that is gone");
    let crew = Crew::of_each(&journal, &script);
    assert_eq!(ended(&journal).await.outcome(), Some(Outcome::Live));
    crew.stop().await;
    check(&server, &taken([Decision::Accepted(plan(2, &["a"]))])).await;
}

#[tokio::test]
async fn a_server_that_is_silent_for_a_while_in_the_middle_of_tasks_loses_nothing() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script = Script { takes: Duration::from_millis(300), ..Script::default() };
    let crew = Crew::of_each(&journal, &script);
    deploy(&journal, 1, &["a", "b"]).await.unwrap();
    let boot = Task { stage: Stage::Boot, host: Some("a".parse().unwrap()) };
    until(&journal, |current| current.state(&boot).is_open()).await;
    server.node.hold();
    tokio::time::sleep(Duration::from_secs(5)).await;
    server.node.go_on();
    assert_eq!(ended(&journal).await.outcome(), Some(Outcome::Live));
    crew.stop().await;
    check(&server, &taken([Decision::Accepted(plan(1, &["a", "b"]))])).await;
}
