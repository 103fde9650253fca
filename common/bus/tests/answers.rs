//! Answers of the server on subjects of its own API. It takes those for requests, of whoever is in the account where they arrive:
//! so nobody is in the journal's but the operator, and what any other key has the server say there changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use cutover_core::{BusUser, Duty, FactKind, Program, Stage, Subject, Task};
use futures_util::{StreamExt, TryStreamExt};
use support::users::{Guarded, Thief};
use support::{deploy, eventually, key, plan};

const STREAMS: [&str; 5] = ["cutover", "cutover-output", "cutover-timer", "cutover-lease", "cutover-trigger"];
/// A consumer that is deleted by an answer, so that it is known that the server goes on taking them for requests.
const MARK: &str = "mark";
/// What takes the next message, and what has one delivered no more.
const NEXT: &str = "NXT";
const TERM: &str = "TERM";

/// What somebody would have done, as the rest of a subject of the API, and what has to be said there.
fn powers(config: &str) -> Vec<(&'static str, String)> {
    let consumer = |name: &str| {
        format!(
            "{{\"stream_name\":\"cutover\",\"action\":\"create\",\"config\":{{\"name\":\"{name}\",\"durable_name\":\"{name}\",\
             \"ack_policy\":\"explicit\"}}}}"
        )
    };
    let other = "{\"name\":\"other\",\"subjects\":[\"other\"],\"storage\":\"file\",\"num_replicas\":1}";
    vec![
        ("STREAM.PURGE.cutover", "{}".to_owned()),
        ("STREAM.PURGE.cutover-lease", "{}".to_owned()),
        ("STREAM.DELETE.cutover", String::new()),
        ("STREAM.DELETE.cutover-timer", String::new()),
        ("STREAM.UPDATE.cutover", config.to_owned()),
        ("STREAM.CREATE.other", other.to_owned()),
        ("STREAM.MSG.DELETE.cutover", "{\"seq\":1}".to_owned()),
        ("STREAM.SNAPSHOT.cutover", "{\"deliver_subject\":\"cutover.run.build.snapshot.taken\"}".to_owned()),
        ("STREAM.RESTORE.other", format!("{{\"config\":{other},\"state\":{{}}}}")),
        ("STREAM.LEADER.STEPDOWN.cutover", String::new()),
        ("CONSUMER.CREATE.cutover.thief", consumer("thief")),
        ("CONSUMER.DURABLE.CREATE.cutover.thief", consumer("thief")),
        ("CONSUMER.DELETE.cutover.run-build", String::new()),
        ("CONSUMER.PAUSE.cutover.run-build", "{\"pause_until\":\"2999-01-01T00:00:00Z\"}".to_owned()),
        ("CONSUMER.RESET.cutover.run-build", "{\"seq\":1}".to_owned()),
        ("CONSUMER.LEADER.STEPDOWN.cutover.run-build", String::new()),
        ("ACCOUNT.PURGE.JOURNAL", String::new()),
        ("SERVER.REMOVE", "{\"peer\":\"guarded\"}".to_owned()),
        // These are no requests, but what a message is answered with.
        (NEXT, "+NXT {\"batch\":1,\"no_wait\":true}".to_owned()),
        (TERM, "+TERM".to_owned()),
    ]
}

/// The hint that holds what has to be said.
fn hint(power: &str) -> String {
    format!("cutover.run.build.smuggled.{}", power.replace('.', "-"))
}

/// A header by which servers tell each other who asks.
fn claiming_to_be_the_operator() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Request-Info", "{\"acc\":\"JOURNAL\",\"svc\":\"JOURNAL\",\"name\":\"operator\"}");
    headers
}

/// A header by which the server says what becomes of a message.
fn traced_to(target: &str) -> HeaderMap {
    let mut headers = claiming_to_be_the_operator();
    headers.insert("Nats-Trace-Dest", target);
    headers
}

/// Everything that a user may ask for whose answer somebody could want elsewhere; the content of each is read in place of `hint`.
fn questions(user: BusUser, hint: &str) -> Vec<(String, String)> {
    let own = written(user).into_iter().map(|subject| (subject, "{}".to_owned()));
    if user == BusUser::Trigger {
        return own.collect();
    }
    let last = format!("{{\"last_by_subj\":\"{hint}\"}}");
    let batch = format!("{{\"seq\":1,\"next_by_subj\":\"{hint}\",\"batch\":5}}");
    let mut questions = vec![
        ("CUTOVER.API.STREAM.INFO.cutover".to_owned(), String::new()),
        ("CUTOVER.API.STREAM.MSG.GET.cutover".to_owned(), last.clone()),
        ("CUTOVER.API.DIRECT.GET.cutover".to_owned(), last),
        ("CUTOVER.API.DIRECT.GET.cutover".to_owned(), batch),
        ("CUTOVER.API.DIRECT.GET.cutover-lease".to_owned(), "{\"seq\":1}".to_owned()),
    ];
    let BusUser::Program(program) = user else {
        questions.push(("CUTOVER.API.DIRECT.GET.cutover-output".to_owned(), "{\"seq\":1}".to_owned()));
        questions.push((Program::Builder.asked_for_presence(), String::new()));
        return questions;
    };
    let consumers = program.stages().map(|stage| ("cutover", stage.consumer()));
    for (stream, consumer) in consumers.chain([("cutover-timer", "wake".to_owned())]) {
        let next = "{\"batch\":1,\"no_wait\":true}".to_owned();
        questions.push((format!("CUTOVER.API.CONSUMER.INFO.{stream}.{consumer}"), String::new()));
        questions.push((format!("CUTOVER.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"), next));
        let ack = format!("$JS.ACK.{stream}.{consumer}.1.1.1.1.0");
        questions.extend(
            ["+ACK", "+NXT {\"batch\":1,\"no_wait\":true}"].map(|said| (ack.clone(), said.to_owned())),
        );
    }
    questions.extend(own);
    questions
}

/// Subjects of all streams, and of each kind that is told apart.
fn subjects() -> Vec<String> {
    let (key, deployment) = (key(), plan(1, &["a"]).deployment);
    let mut subjects = vec![
        Subject::Decisions(key.clone()).to_string(),
        Subject::State(key.clone()).to_string(),
        Subject::timer_of(&key),
        Subject::due_of(&key),
        "cutover.trigger.production.hello".to_owned(),
    ];
    for stage in Stage::ALL {
        let task = Task { stage, host: stage.per_host().then(|| "a".parse().unwrap()) };
        subjects.push(Subject::output_of(&key, &deployment, &task));
        for kind in [FactKind::Claimed, FactKind::Finished] {
            let (key, deployment, task) = (key.clone(), deployment.clone(), task.clone());
            subjects.push(Subject::Fact { key, deployment, task, kind }.to_string());
        }
    }
    for duty in Duty::ALL {
        subjects.extend([Subject::lease_of(duty, &key), Subject::note_of(duty, &key)]);
    }
    subjects
}

/// Those that a user may write.
fn written(user: BusUser) -> Vec<String> {
    let permissions = user.permissions();
    subjects().into_iter().filter(|subject| permissions.publishes(subject)).collect()
}

/// Writes to each of them, and waits until it is stored.
async fn write(thief: &Thief, user: BusUser) {
    for subject in written(user) {
        thief.client.request(subject, "{}".into()).await.unwrap();
    }
}

/// Where somebody wants an answer: as a request, or as an entry that he may not write.
fn targets(user: BusUser, power: &str, taken: &BTreeMap<Stage, String>) -> Vec<String> {
    if [NEXT, TERM].contains(&power) {
        return acknowledgements(user, taken);
    }
    let mut targets = vec![format!("$JS.API.{power}"), format!("CUTOVER.API.{power}")];
    if power == "STREAM.PURGE.cutover" {
        let of_the_system = ["$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.JOURNAL.CONNZ", "$JSC.R.x"];
        targets.extend(of_the_system.map(str::to_owned));
        targets.extend(subjects().into_iter().filter(|subject| !user.permissions().publishes(subject)));
    }
    targets
}

/// Where what others have taken is acknowledged; also so that it could be taken for an acknowledgement of one's own, whose form has
/// two tokens more before the stream.
fn acknowledgements(user: BusUser, taken: &BTreeMap<Stage, String>) -> Vec<String> {
    let (own, others): (Vec<Stage>, Vec<Stage>) =
        Stage::ALL.into_iter().partition(|stage| user == BusUser::Program(stage.program()));
    let mut acknowledgements = Vec::new();
    for consumer in others.iter().map(|stage| stage.consumer()) {
        let own = own.iter().map(|own| format!("cutover.{}", own.consumer()));
        for own in own.chain(["cutover-timer.wake".to_owned()]) {
            acknowledgements.push(format!("$JS.ACK.cutover.{consumer}.{own}.1.1.1"));
        }
    }
    acknowledgements.extend(others.iter().map(|stage| taken[stage].clone()));
    acknowledgements
}

/// Puts hints for each stage into the journal, and has its program take one of them: says where that is acknowledged.
async fn take_one_of_each(server: &Guarded, operator: &Thief) -> BTreeMap<Stage, String> {
    let mut taken = BTreeMap::new();
    for stage in Stage::ALL {
        let subject = Subject::Run { stage, key: key() }.to_string();
        for _ in 0..2 {
            operator.client.request(subject.clone(), "{}".into()).await.unwrap();
        }
        let program = server.thief(BusUser::Program(stage.program())).await.client;
        let next = format!("CUTOVER.API.CONSUMER.MSG.NEXT.cutover.{}", stage.consumer());
        let inbox = program.new_inbox();
        let mut messages = program.subscribe(inbox.clone()).await.unwrap();
        program.publish_with_reply(next, inbox, "{\"batch\":1}".into()).await.unwrap();
        let message = messages.next().await.unwrap();
        let acknowledged = message.reply.unwrap().to_string();
        assert!(acknowledged.starts_with("$JS.ACK."), "{acknowledged}");
        taken.insert(stage, acknowledged);
    }
    taken
}

/// All that must stay what it is: what the streams and consumers are, and what was in the streams.
#[derive(Debug, PartialEq)]
struct Kept {
    configs: Vec<String>,
    first: Vec<u64>,
    /// What was removed.
    gone: Vec<u64>,
    consumers: Vec<String>,
    on_disk: BTreeSet<String>,
    /// Subjects on which something stands that a user may not write.
    foreign: Vec<BTreeSet<String>>,
}

async fn kept(server: &Guarded, user: BusUser) -> Kept {
    let jetstream = jetstream::new(server.thief(BusUser::Operator).await.client);
    let mut kept = Kept {
        configs: Vec::new(),
        first: Vec::new(),
        gone: Vec::new(),
        consumers: Vec::new(),
        on_disk: server.node.kept(),
        foreign: Vec::new(),
    };
    for name in STREAMS {
        let stream = jetstream.get_stream(name).await.unwrap();
        let info = stream.cached_info();
        let last_of_each = info.config.max_messages_per_subject == 1;
        let mut metadata: Vec<_> = info.config.metadata.iter().collect();
        metadata.sort();
        kept.configs.push(format!("{metadata:?} {:?}", info.config.subjects));
        kept.first.push(if last_of_each { 0 } else { info.state.first_sequence });
        let gone = info.state.last_sequence - info.state.messages;
        kept.gone.push(if last_of_each { 0 } else { gone });
        let all: Vec<(String, usize)> =
            stream.info_with_subjects(">").await.unwrap().try_collect().await.unwrap();
        let own = written(user);
        let foreign = all.into_iter().filter(|(subject, _)| !own.contains(subject));
        kept.foreign.push(foreign.map(|(subject, count)| format!("{subject} {count}")).collect());
    }
    let stages =
        Stage::ALL.map(|stage| ("cutover", stage.consumer(), user == BusUser::Program(stage.program())));
    for (stream, consumer, is_own) in stages.into_iter().chain([("cutover-timer", "wake".to_owned(), true)]) {
        let stream = jetstream.get_stream_no_info(stream).await.unwrap();
        let info = stream.consumer_info(&consumer).await;
        kept.consumers.push(info.map_or_else(
            |error| error.to_string(),
            |info| {
                // How far one has come with one's own is one's own affair.
                let taken = (!is_own).then_some((info.delivered.stream_sequence, info.num_ack_pending));
                format!("{} {:?} {:?} {taken:?}", info.name, info.created, info.config.pause_until)
            },
        ));
    }
    kept
}

/// Has the server say in the journal's account, on a subject, what a power takes.
async fn say(operator: &Thief, power: &str, subject: &str) {
    let request = format!("{{\"last_by_subj\":\"{}\"}}", hint(power));
    operator.deliver("$JS.API.DIRECT.GET.cutover", &request, subject).await;
}

/// The same trick in the journal's account, against a consumer that nobody needs: it works, and what was asked for before is done.
async fn is_taken_for_a_request(server: &Guarded, operator: &Thief) {
    let timers = jetstream::new(operator.client.clone()).get_stream("cutover-timer").await.unwrap();
    let config = pull::Config { durable_name: Some(MARK.to_owned()), ..pull::Config::default() };
    timers.create_consumer(config).await.unwrap();
    let deleted = format!("$JS.API.CONSUMER.DELETE.cutover-timer.{MARK}");
    say(operator, "STREAM.DELETE.cutover", &deleted).await;
    eventually(async || timers.consumer_info(MARK).await.is_err().then_some(())).await;
    eventually(async || (!server.node.kept().iter().any(|path| path.ends_with(MARK))).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_that_a_stolen_key_asks_for_changes_the_journal() {
    let server = Guarded::start().await;
    deploy(&server.journal(BusUser::Operator).await, 1, &["a"]).await.unwrap();
    let operator = server.thief(BusUser::Operator).await;
    let jetstream = jetstream::new(operator.client.clone());
    let mut config = jetstream.get_stream("cutover").await.unwrap().cached_info().config.clone();
    for value in config.metadata.values_mut() {
        "forged".clone_into(value);
    }
    let taken = take_one_of_each(&server, &operator).await;
    let powers = powers(&serde_json::to_string(&config).unwrap());
    for (power, content) in &powers {
        let headers = claiming_to_be_the_operator();
        let stored = jetstream.publish_with_headers(hint(power), headers, content.clone().into());
        stored.await.unwrap().await.unwrap();
    }
    // Whoever only looks asks the programs too, one of which may have somebody else's answers.
    let builder = server.thief(BusUser::Program(Program::Builder)).await;
    let mut pings = builder.client.subscribe(Program::Builder.asked_for_presence()).await.unwrap();
    let answering = tokio::spawn(async move {
        while let Some(ping) = pings.next().await {
            builder.client.publish(ping.reply.unwrap(), "{\"seq\":1}".into()).await.unwrap();
        }
    });
    for user in BusUser::ALL.into_iter().filter(|user| *user != BusUser::Operator) {
        let thief = server.thief(user).await;
        write(&thief, user).await;
        let before = kept(&server, user).await;
        for (power, said) in &powers {
            for target in targets(user, power, &taken) {
                if target.starts_with("$JS.ACK.") {
                    // The server lets no client have an answer there (2.15); so it is tried without one, too.
                    let (inbox, said) = (thief.client.new_inbox(), said.clone().into());
                    thief.client.publish_with_reply(target.clone(), inbox, said).await.unwrap();
                }
                for (subject, content) in questions(user, &hint(power)) {
                    // The server refuses some of the traced ones as a whole.
                    for headers in [claiming_to_be_the_operator(), traced_to(&target)] {
                        let content = content.clone().into();
                        let asked = thief.client.publish_with_reply_and_headers(
                            subject.clone(),
                            target.clone(),
                            headers,
                            content,
                        );
                        asked.await.unwrap();
                    }
                }
            }
        }
        // The connection is still one that is answered; and what it has said before is stored.
        if user != BusUser::Trigger {
            thief.client.request("CUTOVER.API.STREAM.INFO.cutover", "".into()).await.unwrap();
        }
        write(&thief, user).await;
        is_taken_for_a_request(&server, &operator).await;
        assert_eq!(kept(&server, user).await, before, "with the key of the {user}");
    }
    answering.abort();
    // Who has taken something may say so.
    let before = kept(&server, BusUser::Operator).await;
    let shipper = server.thief(BusUser::Program(Program::Shipper)).await.client;
    shipper.publish(taken[&Stage::Ship].clone(), "+TERM".into()).await.unwrap();
    eventually(async || (kept(&server, BusUser::Operator).await != before).then_some(())).await;

    // All of this tries something: each of these has an effect where the journal is.
    for power in [
        "STREAM.UPDATE.cutover",
        "STREAM.CREATE.other",
        "STREAM.MSG.DELETE.cutover",
        "CONSUMER.CREATE.cutover.thief",
        "CONSUMER.PAUSE.cutover.run-build",
        "CONSUMER.DELETE.cutover.run-build",
        "STREAM.PURGE.cutover-lease",
        "STREAM.PURGE.cutover",
    ] {
        let before = kept(&server, BusUser::Operator).await;
        say(&operator, power, &format!("$JS.API.{power}")).await;
        eventually(async || (kept(&server, BusUser::Operator).await != before).then_some(())).await;
    }
}
