//! Entries of the journal by users who may not write them. The server can be made to store them: it sends an answer wherever
//! the request says. They change nothing, they are counted, and they are in nobody's way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use cutover_bus::{Access, Bus, DecideError, Error, Pace};
use cutover_core::{
    BusUser, Decision, Duty, Fact, FactKind, LeaseTerms, Outcome, Program, Stage, Subject, Task,
};
use cutover_telemetry::Metrics;
use support::crew::{Crew, Script, output};
use support::users::{Guarded, Thief};
use support::{deploy, ended, eventually, key, plan, until};

const BUILDER: BusUser = BusUser::Program(Program::Builder);

/// The stream of the journal, as the operator sees it.
async fn stream(server: &Guarded) -> Stream {
    let client = server.thief(BusUser::Operator).await.client;
    jetstream::new(client).get_stream("cutover").await.unwrap()
}

/// Waits until something stands on a subject that holds this.
async fn stands(stream: &Stream, subject: &str, content: &[u8]) {
    let last = async || stream.get_last_raw_message_by_subject(subject).await.ok();
    eventually(async || last().await.filter(|last| last.payload == content)).await;
}

async fn worker(server: &Guarded, script: &Script, program: Program) -> Crew {
    Crew::new().with(&server.journal(BusUser::Program(program)).await, script, program)
}

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

fn fact(stage: Stage, fact: &Fact) -> String {
    let host = stage.per_host().then(|| "a".parse().unwrap());
    let (key, deployment) = (key(), plan(1, &["a"]).deployment);
    Subject::Fact { key, deployment, task: Task { stage, host }, kind: fact.kind() }.to_string()
}

/// What somebody with a low key wants: a deployment of their own, in each way of saying who says so.
fn headers(
    thief: &Thief,
    journal: &cutover_bus::Journal,
    subject: &str,
    content: &[u8],
) -> Vec<(&'static str, HeaderMap)> {
    let stranger = {
        let mut headers = thief.signature(journal, subject, "-", content);
        let known = headers.get("Cutover-Signature").unwrap().to_string();
        let (_, signature) = known.split_once(' ').unwrap();
        let other = cutover_bus::Key::new(BusUser::Operator).public();
        headers.insert("Cutover-Signature", format!("{other} {signature}"));
        headers
    };
    vec![
        ("unsigned", HeaderMap::new()),
        ("wrong-author", thief.signature(journal, subject, "-", content)),
        ("wrong-signature", thief.signature(journal, "cutover.run.build.a.b", "-", content)),
        ("unknown-key", stranger),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_that_a_program_has_the_server_store_is_left_out_counted_and_in_nobodys_way() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    let script = Script::default();
    let crew = crew_of(&server, &script).await;
    let subject = Subject::Decisions(key()).to_string();
    for program in Program::ALL {
        let thief = server.thief(BusUser::Program(program)).await;
        let forged = serde_json::to_vec(&Decision::Accepted(plan(9, &["a"]))).unwrap();
        for (reason, headers) in headers(&thief, &operator, &subject, &forged) {
            let before = refused(&crew.metrics, reason);
            thief.smuggle(&subject, headers, &forged).await;
            stands(&stream, &subject, &forged).await;
            // The sweep of whoever holds its lease comes by.
            eventually(async || Some(()).filter(|()| refused(&crew.metrics, reason) > before)).await;
        }
    }
    assert!(operator.service(&key()).await.unwrap().service().current.is_none(), "it was taken");
    deploy(&operator, 1, &["a"]).await.unwrap();
    assert_eq!(ended(&operator).await.outcome(), Some(Outcome::Live));
    crew.stop().await;
    assert_eq!(script.times(Stage::Build), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_another_programs_stage_is_left_out() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    deploy(&operator, 1, &["a"]).await.unwrap();
    // The builder is at work: it has the claim that a forged result would have to name.
    let builder =
        worker(&server, &Script { hang_in: Some(Stage::Build), ..Script::default() }, Program::Builder).await;
    let build = Task { stage: Stage::Build, host: None };
    let running = until(&operator, |current| current.state(&build).is_open()).await;
    let claim = running.state(&build).last_claim;
    let result = Fact::Finished { claim, output: output(Stage::Build) };
    let (subject, content) = (fact(Stage::Build, &result), serde_json::to_vec(&result).unwrap());
    for program in Program::ALL.into_iter().filter(|program| *program != Program::Builder) {
        let thief = server.thief(BusUser::Program(program)).await;
        let signature = thief.signature(&operator, &subject, "-", &content);
        thief.smuggle(&subject, signature, &content).await;
        stands(&stream, &subject, &content).await;
        let read = operator.service(&key()).await.unwrap();
        let state = read.service().running().unwrap().state(&build);
        assert!(state.is_open() && !state.is_finished(), "the {program} has finished the build");
    }
    // The same words by the builder itself count.
    let thief = server.thief(BUILDER).await;
    let signature = thief.signature(&operator, &subject, "-", &content);
    thief.smuggle(&subject, signature, &content).await;
    until(&operator, |current| current.state(&build).is_finished()).await;
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_of_last_week_is_not_taken_a_second_time() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    let crew = crew_of(&server, &Script::default()).await;
    for n in 1..=2 {
        deploy(&operator, n, &["a"]).await.unwrap();
        until(&operator, |current| *current.id() == plan(n, &[]).deployment && current.outcome().is_some())
            .await;
    }
    let subject = Subject::Decisions(key()).to_string();
    let first = stream.get_first_raw_message_by_subject(&subject, 1).await.unwrap();
    let thief = server.thief(BUILDER).await;
    // As it is: what it expects to be the last is not.
    let request = format!("{{\"seq\":{}}}", first.sequence);
    thief.deliver("$JS.API.DIRECT.GET.cutover", &request, &subject).await;
    // Its words and its signature without what it expects: the server stores that.
    let mut headers = HeaderMap::new();
    headers.insert("Cutover-Signature", first.headers.get("Cutover-Signature").unwrap().as_str());
    thief.smuggle(&subject, headers, &first.payload).await;
    stands(&stream, &subject, &first.payload).await;
    let (mut from, mut as_it_was) = (first.sequence + 1, 0);
    while let Ok(message) = stream.get_first_raw_message_by_subject(&subject, from).await {
        let expects = message.headers.get("Nats-Expected-Last-Subject-Sequence").is_some();
        as_it_was += usize::from(expects && message.payload == first.payload);
        from = message.sequence + 1;
    }
    assert_eq!(as_it_was, 0, "the server has stored it again as it was");
    let service = operator.service(&key()).await.unwrap().service().clone();
    assert!(
        service.running().is_none()
            && service.current.is_some_and(|current| *current.id() == plan(2, &[]).deployment)
    );
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_snapshot_is_none_and_the_one_before_holds() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    let crew = crew_of(&server, &Script::default()).await;
    for n in 1..=2 {
        deploy(&operator, n, &["a"]).await.unwrap();
        until(&operator, |current| *current.id() == plan(n, &[]).deployment && current.outcome().is_some())
            .await;
    }
    let honest = operator.service(&key()).await.unwrap().service().clone();
    let mut forged = honest.clone();
    forged.history.clear();
    forged.current = None;
    let (subject, content) = (Subject::State(key()).to_string(), serde_json::to_vec(&forged).unwrap());
    let thief = server.thief(BUILDER).await;
    let signature = thief.signature(&operator, &subject, "-", &content);
    thief.smuggle(&subject, signature, &content).await;
    stands(&stream, &subject, &content).await;
    thief.deliver("$JS.API.STREAM.INFO.cutover", "", &subject).await;
    eventually(async || {
        stream.get_last_raw_message_by_subject(&subject).await.ok().filter(|last| last.payload != content)
    })
    .await;
    assert_eq!(*operator.service(&key()).await.unwrap().service(), honest);
    deploy(&operator, 3, &["a"]).await.unwrap();
    until(&operator, |current| {
        *current.id() == plan(3, &[]).deployment && current.outcome() == Some(Outcome::Live)
    })
    .await;
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_in_the_place_of_a_claim_keeps_nobody_from_claiming() {
    let server = Guarded::start().await;
    let (operator, stream) = (server.journal(BusUser::Operator).await, stream(&server).await);
    deploy(&operator, 1, &["a"]).await.unwrap();
    let thief = server.thief(BusUser::Observer).await;
    for stage in [Stage::Build, Stage::Ship, Stage::Switch] {
        let host = stage.per_host().then(|| "a".parse().unwrap());
        let task = Task { stage, host };
        let (key, deployment) = (key(), plan(1, &["a"]).deployment);
        let subject = Subject::Fact { key, deployment, task, kind: FactKind::Claimed }.to_string();
        thief.deliver("$JS.API.STREAM.INFO.cutover", "", &subject).await;
        eventually(async || stream.get_last_raw_message_by_subject(&subject).await.ok()).await;
    }
    let crew = crew_of(&server, &Script::default()).await;
    assert_eq!(ended(&operator).await.outcome(), Some(Outcome::Live));
    assert!(refused(&crew.metrics, "unsigned") > 0);
    crew.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_is_forged_unreadable_or_too_large_does_nothing_and_is_counted() {
    let server = Guarded::start().await;
    let operator = server.journal(BusUser::Operator).await;
    let script = Script::default();
    let crew = crew_of(&server, &script).await;
    let stage = Stage::Switch;
    let subject = Subject::Run { stage, key: key() }.to_string();
    let jetstream = jetstream::new(server.thief(BUILDER).await.client);
    let task = Task { stage, host: Some("a".parse().unwrap()) };
    let work = cutover_core::Work { protocol: 1, deployment: plan(1, &[]).deployment, task, attempt: 1 };
    let forged = serde_json::to_vec(&work).unwrap();
    let too_large = [forged.as_slice(), &vec![b' '; 5 << 10]].concat();
    for content in [forged, b"{".to_vec(), too_large] {
        jetstream.publish(subject.clone(), content.into()).await.unwrap().await.unwrap();
    }
    eventually(async || Some(()).filter(|()| refused(&crew.metrics, "unreadable-work") == 2)).await;
    deploy(&operator, 1, &["a"]).await.unwrap();
    assert_eq!(ended(&operator).await.outcome(), Some(Outcome::Live));
    crew.stop().await;
    assert_eq!(script.times(Stage::Switch), 1);
}

#[tokio::test]
async fn a_note_or_a_lease_by_a_user_who_does_not_do_the_duty_is_none() {
    let server = Guarded::start().await;
    let operator = server.journal(BusUser::Operator).await;
    let client = server.thief(BusUser::Operator).await.client;
    let leases = jetstream::new(client).get_stream("cutover-lease").await.unwrap();
    let (subject, content) = (Subject::note_of(Duty::Certificates, &key()), b"\"valid for ever\"");
    for (stored, user, counts) in [(1, BUILDER, false), (2, BusUser::Program(Program::Switcher), true)] {
        let thief = server.thief(user).await;
        let signature = thief.signature(&operator, &subject, "-", content);
        if counts {
            let jetstream = jetstream::new(thief.client.clone());
            jetstream
                .publish_with_headers(subject.clone(), signature, content.to_vec().into())
                .await
                .unwrap()
                .await
                .unwrap();
        } else {
            thief.smuggle(&subject, signature, content).await;
        }
        let last = async || leases.get_info().await.unwrap().state.last_sequence;
        eventually(async || (last().await == stored).then_some(())).await;
        let note: Option<String> = operator.note(Duty::Certificates, &key()).await.unwrap();
        assert_eq!(note.is_some(), counts, "{user}");
    }
}

#[tokio::test]
async fn whoever_has_no_key_is_told_that_the_journal_takes_signed_entries_alone() {
    let server = support::Server::start().await;
    let journal = server.journal().await;
    deploy(&journal, 1, &["a"]).await.unwrap();
    let keys = BusUser::ALL.map(|user| (user, cutover_bus::Key::new(user).public()));
    journal.bus().take_signatures_of(&keys.into()).await.unwrap();
    let journal = Bus::enter(&Access::open(&server.url()), "test").await.unwrap().open().await.unwrap();
    // What stood there before is taken as it is.
    let mut log = journal.service(&key()).await.unwrap();
    let running = log.service().running().unwrap().id().clone();
    let decided = journal.decide(&mut log, Decision::Aborted { deployment: running, by: "me".into() }).await;
    assert!(matches!(decided, Err(DecideError::Bus(Error::Unsigned { .. }))), "{decided:?}");
}
