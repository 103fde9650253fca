//! Leases, the sweep and the purge: one holder at a time, and what it does though nobody asks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use async_nats::jetstream;
use cutover_bus::{Bus, Held, Journal, Pace, ServiceLog, StandingWork, hold};
use cutover_core::{
    Claim, Decision, Duty, Fact, FactKind, LeaseTerms, Outcome, PROTOCOL, Program, ServiceKey, Stage,
    Subject, Task, Work,
};
use support::cluster::LOG;
use support::crew::{Crew, Script};
use support::leases::{self, Stored};
use support::relay::Relay;
use support::{Server, deploy, ended, eventually, key, plan, plan_of, until, until_service};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LASTS: Duration = Duration::from_secs(2);

/// Everything in seconds that takes minutes otherwise; nothing is purged.
fn quick() -> Pace {
    let quick = Duration::from_millis(200);
    Pace {
        lease: LeaseTerms { lasts: LASTS, renewed_every: quick, margin: Duration::from_millis(400) },
        services_every: quick,
        sweep_every: quick,
        purge_every: quick,
        kept_deployments: None,
    }
}

/// A worker that takes part in the leases and does no task of `deploy`; its name begins with `test <program>`.
fn candidate(journal: &Journal, program: Program) -> Crew {
    Crew::at(quick()).with(journal, &Script::default(), program)
}

fn kill(crew: &Crew) {
    // Like a SIGKILL: nothing is said, nothing is given back.
    crew.workers.iter().for_each(JoinHandle::abort);
}

/// Waits until the last record is of that holder.
async fn held_by(client: &async_nats::Client, name: &str) -> Stored {
    eventually(async || leases::last(client, &key()).await.filter(|last| last.is_of(name))).await
}

#[tokio::test]
async fn a_killed_holder_is_replaced_and_one_that_stops_gives_its_lease_back() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    leases::keep_all(&client).await;
    deploy(&journal, 1, &["a"]).await.unwrap();
    let first = candidate(&journal, Program::Prober);
    let held = held_by(&client, "test prober").await;
    let second = candidate(&journal, Program::Switcher);
    kill(&first);
    let replaced = held_by(&client, "test switcher").await;
    assert!(replaced.epoch() > held.epoch(), "{replaced:?} after {held:?}");

    second.stop().await;
    let given_back = leases::last(&client, &key()).await.unwrap();
    assert_eq!((given_back.record.holder.as_ref(), given_back.epoch()), (None, replaced.epoch()));
    let third = candidate(&journal, Program::Migrator);
    let taken = held_by(&client, "test migrator").await;
    assert!(taken.epoch() > replaced.epoch());
    third.stop().await;
    assert_eq!(leases::check(&leases::history(&client, &key()).await, LASTS), 3);
}

#[tokio::test]
async fn a_holder_that_was_cut_off_finds_that_it_has_lost_its_lease() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    leases::keep_all(&client).await;
    deploy(&journal, 1, &["a"]).await.unwrap();
    let relay = Relay::before(&server.url()).await;
    let behind = Bus::connect(&relay.url(), "test").await.unwrap().open().await.unwrap();
    let first = candidate(&behind, Program::Prober);
    let held = held_by(&client, "test prober").await;
    let second = candidate(&journal, Program::Switcher);
    relay.hold();
    let replaced = held_by(&client, "test switcher").await;
    // What it has sent in the meantime arrives now, and is refused.
    relay.go_on();
    let renewed = eventually(async || {
        let last = leases::last(&client, &key()).await?;
        (last.sequence > replaced.sequence + 5).then_some(last)
    });
    assert_eq!(renewed.await.epoch(), replaced.epoch());
    // It has gone back to be a candidate: one that went on believing would renew for ever, and take nothing.
    kill(&second);
    let again = held_by(&client, "test prober").await;
    assert!(held.epoch() < replaced.epoch() && replaced.epoch() < again.epoch());
    first.stop().await;
    assert_eq!(leases::check(&leases::history(&client, &key()).await, LASTS), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_candidates_one_at_a_time_holds_each_lease() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    leases::keep_all(&client).await;
    let keys: Vec<ServiceKey> = ["x", "y", "z"]
        .map(|name| ServiceKey { service: name.parse().unwrap(), ..key() })
        .into_iter()
        .collect();
    for (key, n) in keys.iter().zip(1..) {
        let mut log = journal.service(key).await.unwrap();
        journal.decide(&mut log, Decision::Accepted(plan_of(key.clone(), n, &["a"]))).await.unwrap();
    }
    let open = async || Bus::connect(&server.url(), "test").await.unwrap().open().await.unwrap();
    let mut crews = Vec::new();
    for program in [Program::Prober, Program::Switcher, Program::Migrator].into_iter().cycle().take(9) {
        crews.push(candidate(&open().await, program));
    }
    // One after the other goes, every second one without a word, until one is left: each lease has a holder again then.
    for (index, crew) in crews.drain(1..).enumerate() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if index % 2 == 0 { kill(&crew) } else { crew.stop().await }
    }
    for key in &keys {
        eventually(async || leases::last(&client, key).await.filter(|last| last.is_of("test prober 0")))
            .await;
    }
    crews.pop().unwrap().stop().await;
    for key in &keys {
        let history = leases::history(&client, key).await;
        leases::check(&history, LASTS);
        assert!(history.last().unwrap().record.holder.is_none());
    }
}

/// A duty that counts in its note how often it was taken on.
struct Counting;

impl StandingWork for Counting {
    const DUTY: Duty = Duty::Certificates;

    async fn hold(&self, held: Held) {
        let times: Option<u32> = held.note().await.unwrap();
        held.set_note(&(times.unwrap_or_default() + 1)).await.unwrap();
        std::future::pending().await
    }
}

#[tokio::test]
async fn what_a_holder_notes_the_next_one_finds() {
    let server = Server::start().await;
    let journal = server.journal().await;
    deploy(&journal, 1, &["a"]).await.unwrap();
    for times in 1..=3 {
        let stop = CancellationToken::new();
        let (journal, told) = (journal.clone(), stop.clone());
        let known = journal.clone();
        let holder = tokio::spawn(async move { hold(journal, "test", Counting, told).await });
        eventually(async || {
            let noted: Option<u32> = known.note(Duty::Certificates, &key()).await.unwrap();
            (noted == Some(times)).then_some(())
        })
        .await;
        stop.cancel();
        holder.await.unwrap().unwrap();
    }
}

/// A duty that hands over what it holds.
struct Handing(mpsc::UnboundedSender<Held>);

impl StandingWork for Handing {
    const DUTY: Duty = Duty::Watch;

    async fn hold(&self, held: Held) {
        self.0.send(held).unwrap();
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_holder_that_asks_is_told_that_its_lease_is_anothers() {
    let server = Server::start().await;
    let journal = server.journal().await;
    deploy(&journal, 1, &["a"]).await.unwrap();
    let (handed, mut taken) = mpsc::unbounded_channel();
    let mut holds = async || {
        let stop = CancellationToken::new();
        let holder = tokio::spawn(hold(journal.clone(), "test", Handing(handed.clone()), stop.clone()));
        (taken.recv().await.unwrap(), stop, holder)
    };
    let (first, stop, holder) = holds().await;
    assert!(first.is_held().await.unwrap());
    stop.cancel();
    holder.await.unwrap().unwrap();
    assert!(!first.is_held().await.unwrap(), "it was given back");
    let (second, stop, holder) = holds().await;
    assert_eq!((first.is_held().await.unwrap(), second.is_held().await.unwrap()), (false, true));
    stop.cancel();
    holder.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_sweep_publishes_work_that_nobody_has_published_and_writes_the_snapshot_that_nobody_wrote() {
    let mut server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    // Whoever has decided this was gone before the work followed.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let decision = serde_json::to_vec(&Decision::Accepted(plan(1, &["a"]))).unwrap();
    let jetstream = jetstream::new(client.clone());
    let subject = Subject::Decisions(key()).to_string();
    jetstream.publish_with_headers(subject, headers, decision.into()).await.unwrap().await.unwrap();
    let crew = Crew::at(quick()).and_each(&journal, &Script::default());
    assert_eq!(ended(&journal).await.outcome(), Some(Outcome::Live));
    crew.stop().await;

    let log = jetstream.get_stream(LOG).await.unwrap();
    let state = Subject::State(key()).to_string();
    log.purge().filter(&state).await.unwrap();
    // As if it had never been there: with its message, the server forgets its id.
    server.node.kill();
    server.node.start_again();
    server.node.answers().await;
    let crew = candidate(&journal, Program::Prober);
    eventually(async || log.get_last_raw_message_by_subject(&state).await.ok()).await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debt_is_tried_again_until_it_is_paid() {
    let server = Server::start().await;
    let journal = server.journal().await;
    let script =
        Script { fail_in: Some(Stage::Soak), fail_times_in: Some((Stage::Restore, 2)), ..Script::default() };
    let crew = Crew::of_each(&journal, &script);
    deploy(&journal, 1, &["a"]).await.unwrap();
    assert_eq!(ended(&journal).await.outcome(), Some(Outcome::Degraded { live: false }));
    let owing = journal.service(&key()).await.unwrap();
    assert_eq!((owing.service().debts().count(), script.times(Stage::Discard)), (1, 0));
    // What was restored is discarded, which could not be done before.
    until_service(&journal, |service| service.obligations.is_empty()).await;
    assert_eq!((script.times(Stage::Restore), script.times(Stage::Discard)), (3, 1));
    crew.stop().await;
}

/// How many messages the log holds, and the sequence of the first of the service.
async fn first_of(client: &async_nats::Client, filter: &str) -> Option<u64> {
    let log = jetstream::new(client.clone()).get_stream(LOG).await.unwrap();
    Some(log.get_first_raw_message_by_subject(filter, 1).await.ok()?.sequence)
}

/// The same, read up to the same entry.
fn assert_same(one: &ServiceLog, other: &ServiceLog) {
    let (mut one, mut other) = (one.service().clone(), other.service().clone());
    (one.snapshot_taken, other.snapshot_taken) = (true, true);
    assert_eq!(one, other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_needs_is_purged_and_nobody_misses_it() {
    let server = Server::start().await;
    let (journal, client) = (server.journal().await, server.client().await);
    let script = Script::default();
    let id = |n: u32| plan(n, &["a"]).deployment;
    // One who has read that the first deployment began, before anybody worked at it, and nothing since.
    deploy(&journal, 1, &["a"]).await.unwrap();
    let mut half_read = journal.service(&key()).await.unwrap();
    assert!(half_read.service().running().is_some());
    let mut watch = journal.follow(half_read.clone());
    let crew = Crew::at(quick()).and_each(&journal, &script);
    for n in 1..=30 {
        if n > 1 {
            deploy(&journal, n, &["a"]).await.unwrap();
        }
        until(&journal, |current| *current.id() == id(n) && current.outcome().is_some()).await;
    }
    crew.stop().await;
    let before = journal.service(&key()).await.unwrap();
    let eleventh = before.service().history[19].clone();
    assert_eq!((before.service().history.len(), &eleventh.deployment), (30, &id(11)));
    assert_eq!(first_of(&client, &Subject::log_of(&key())).await, Some(1));

    let purging = Crew::at(Pace { kept_deployments: Some(20), ..quick() });
    let purging = purging.with(&journal, &script, Program::Prober);
    for filter in [Subject::log_of(&key()), Subject::runs_for(&key())] {
        let purged = async || first_of(&client, &filter).await.filter(|first| *first >= eleventh.sequence);
        let first = eventually(purged).await;
        assert!(first <= eleventh.sequence + 1, "the eleventh begins at {}, not {first}", eleventh.sequence);
    }
    let state = Subject::State(key()).to_string();
    let log = jetstream::new(client.clone()).get_stream(LOG).await.unwrap();
    let mut snapshots = log.info_with_subjects(&state).await.unwrap();
    let snapshots = futures_util::StreamExt::next(&mut snapshots).await.unwrap().unwrap();
    assert_eq!(snapshots, (state, 1));

    let after = journal.service(&key()).await.unwrap();
    assert_same(&before, &after);
    journal.catch_up(&mut half_read).await.unwrap();
    assert_same(&before, &half_read);
    while watch.service().sequence < after.service().sequence {
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap().unwrap();
    }
    assert_eq!(watch.service().history, after.service().history);

    // A worker that comes late by ten deployments.
    let task = Task { stage: Stage::Boot, host: Some("a".parse().unwrap()) };
    let (deployment, kind) = (id(3), FactKind::Claimed);
    let subject = Subject::Fact { key: key(), deployment: id(3), task: task.clone(), kind }.to_string();
    let claim = Claim { attempt: 1, worker: "late".into(), decision: 1, hint: 1 };
    let jetstream = jetstream::new(client.clone());
    let claimed = serde_json::to_vec(&Fact::Claimed(claim)).unwrap();
    jetstream.publish(subject, claimed.into()).await.unwrap().await.unwrap();
    let work = Work { protocol: PROTOCOL, deployment, task: task.clone(), attempt: 1 };
    let subject = Subject::Run { stage: Stage::Boot, key: key() }.to_string();
    jetstream.publish(subject, serde_json::to_vec(&work).unwrap().into()).await.unwrap().await.unwrap();
    let boots = script.times(Stage::Boot);
    let crew = Crew::at(quick()).and_each(&journal, &script);
    let mut late = after.clone();
    journal.catch_up(&mut late).await.unwrap();
    assert_eq!(late.service().history, after.service().history);

    let mut log = after;
    journal.decide(&mut log, Decision::Accepted(plan(31, &["a"]))).await.unwrap();
    let ended = until(&journal, |current| *current.id() == id(31) && current.outcome().is_some()).await;
    assert_eq!((ended.outcome(), script.times(Stage::Boot)), (Some(Outcome::Live), boots + 1));
    crew.stop().await;
    purging.stop().await;
}
