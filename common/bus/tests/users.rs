//! A server that tells its users apart, as `cutover_core::authorization` configures it: what each user has to do passes, and
//! nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use cutover_bus::{Asked, Error, Key, Sightings};
use cutover_core::{
    BusUser, Decision, Duty, Outcome, Program, Reference, Request, Sighting, Stage, Subject, Task,
};
use futures_util::StreamExt;
use support::crew::{Crew, Script};
use support::node::Node;
use support::users::Guarded;
use support::{deploy, ended, eventually, key, plan, until};

/// The stream of the journal.
const LOG: &str = "cutover";

/// One worker of each program, each with its own key.
async fn crew_of(server: &Guarded, script: &Script) -> Crew {
    let mut crew = Crew::new();
    for program in Program::ALL {
        crew = crew.with(&server.journal(BusUser::Program(program)).await, script, program);
    }
    crew
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_deployments_pass_with_a_user_for_each_program() {
    let server = Guarded::start().await;
    let (operator, observer) =
        (server.journal(BusUser::Operator).await, server.journal(BusUser::Observer).await);
    let crew = crew_of(&server, &Script::default()).await;
    for n in 1..=2 {
        deploy(&operator, n, &["a", "b"]).await.unwrap();
        let live = until(&observer, |current| {
            *current.id() == plan(n, &[]).deployment && current.outcome().is_some()
        });
        assert_eq!(live.await.outcome(), Some(Outcome::Live));
    }
    let present = observer.bus().presence(&Program::ALL, Duration::from_secs(20)).await.unwrap();
    assert_eq!(present.len(), Program::ALL.len());
    crew.stop().await;

    // One that is taken back: its restore and its discard are others' to write than its switch.
    let crew = crew_of(&server, &Script { fail_in: Some(Stage::Soak), ..Script::default() }).await;
    deploy(&operator, 3, &["a", "b"]).await.unwrap();
    assert_eq!(ended(&observer).await.outcome(), Some(Outcome::TakenBack));
    crew.stop().await;

    // Whoever decides has written the snapshot of what had ended before.
    let snapshot = Subject::State(key()).to_string();
    let client = server.thief(BusUser::Operator).await.client;
    let stream = jetstream::new(client).get_stream(LOG).await.unwrap();
    assert!(stream.get_last_raw_message_by_subject(&snapshot).await.is_ok());
    let log = server.node.log();
    assert!(!log.contains("Violation"), "the server has refused something:\n{log}");
}

fn request(branch: &str) -> Request {
    let text = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/hooks/hello\",\"type\":\"dev.cdeventsx.cutover-deployment.requested.0.1.0\",\
         \"subject\":\"production/hello\",\"time\":\"2026-11-28T09:00:00.250Z\",\"datacontenttype\":\"application/json\",\
         \"data\":{{\"destination\":\"production\",\"service\":\"hello\",\"policy\":\"queue\",\
         \"occasion\":{{\"commit\":{{\"id\":\"6113728f27ae82c7b1a177c8d03f9e96e0adf246\",\"of\":{{\"branch\":\"{branch}\"}}}}}}}}}}"
    );
    serde_json::from_str(&text).unwrap()
}

/// What somebody tries to publish with the key of a user.
fn attempts(user: BusUser) -> Vec<String> {
    let (hello, deployment) = (key(), plan(1, &["a"]).deployment);
    let fact = |stage: Stage, kind: &str| {
        let task = Task { stage, host: stage.per_host().then(|| "a".parse().unwrap()) };
        Subject::facts_of(&hello, &deployment, &task).replace(".*", &format!(".{kind}"))
    };
    let mut attempts = Vec::new();
    for stage in Stage::ALL.into_iter().filter(|stage| user != BusUser::Program(stage.program())) {
        attempts.extend(["claimed", "progressed", "finished", "failed"].map(|kind| fact(stage, kind)));
        attempts.push(Subject::outputs_of(&hello, &deployment).replace('>', &format!("{stage}._")));
        attempts.push(format!("$JS.API.CONSUMER.MSG.NEXT.{LOG}.{}", stage.consumer()));
        attempts.push(format!("$JS.ACK.{LOG}.{}.1.1.1.1.0", stage.consumer()));
        attempts.push(format!("$JS.ACK._.hash.{LOG}.{}.1.1.1.1.0", stage.consumer()));
        // One form of this consumer's is another form of one's own.
        let own = Stage::ALL.into_iter().filter(|own| user == BusUser::Program(own.program()));
        for own in own.map(|own| format!("{LOG}.{}", own.consumer())).chain(["cutover-timer.wake".to_owned()])
        {
            attempts.push(format!("$JS.ACK.{LOG}.{}.{own}.1.1.1", stage.consumer()));
        }
    }
    for duty in Duty::ALL.into_iter().filter(|duty| !user.may_hold(*duty)) {
        attempts.extend([Subject::lease_of(duty, &hello), Subject::note_of(duty, &hello)]);
    }
    if user != BusUser::Operator {
        attempts.extend([
            Subject::Decisions(hello.clone()).to_string(),
            Subject::State(hello.clone()).to_string(),
        ]);
        attempts.extend(Program::ALL.map(Program::asked_for_secrets));
        for power in ["PURGE", "UPDATE", "CREATE"] {
            attempts.push(format!("$JS.API.STREAM.{power}.{LOG}"));
        }
        for consumer in
            [LOG.to_owned(), format!("{LOG}.run-switch"), format!("{LOG}.run-switch.cutover.run.switch.>")]
        {
            attempts.push(format!("$JS.API.CONSUMER.CREATE.{consumer}"));
        }
    }
    if !user.signs() {
        attempts.push(Subject::Run { stage: Stage::Build, key: hello.clone() }.to_string());
        attempts.push(Subject::timer_of(&hello));
    }
    let requests = "cutover.trigger.production.hello";
    if user == BusUser::Trigger {
        attempts.extend([format!("{requests}.x"), "cutover.trigger.production".to_owned()]);
        for stream in [LOG, "cutover-output", "cutover-timer", "cutover-lease", "cutover-trigger"] {
            for power in ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"] {
                attempts.push(format!("$JS.API.{power}.{stream}"));
            }
        }
    } else {
        attempts.push(requests.to_owned());
    }
    for power in ["STREAM.PURGE", "STREAM.DELETE", "STREAM.MSG.DELETE"] {
        attempts.push(format!("$JS.API.{power}.cutover-trigger"));
    }
    // The programs' API is called otherwise; neither name leads to more.
    let also: Vec<String> = attempts
        .iter()
        .filter_map(|subject| Some(format!("CUTOVER.{}", subject.strip_prefix("$JS.")?)))
        .collect();
    attempts.extend(also);
    for power in
        ["STREAM.DELETE", "STREAM.MSG.DELETE", "STREAM.RESTORE", "STREAM.SNAPSHOT", "STREAM.LEADER.STEPDOWN"]
    {
        attempts.push(format!("CUTOVER.API.{power}.{LOG}"));
        attempts.push(format!("$JS.API.{power}.{LOG}"));
    }
    attempts.push(format!("$JS.API.CONSUMER.DELETE.{LOG}.run-switch"));
    attempts.push(format!("$JS.API.CONSUMER.DURABLE.CREATE.{LOG}.run-switch"));
    attempts.push("$JS.API.STREAM.CREATE.other".to_owned());
    attempts.push(Subject::due_of(&hello));
    attempts.extend(BusUser::ALL.map(|other| format!("{}.x.1", other.inbox())));
    attempts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_key_can_publish_nothing_but_its_own_users_work() {
    let server = Guarded::start().await;
    let operator = server.journal(BusUser::Operator).await;
    deploy(&operator, 1, &["a"]).await.unwrap();
    let stream = jetstream::new(server.thief(BusUser::Operator).await.client).get_stream(LOG).await.unwrap();
    let last = async || stream.get_info().await.unwrap().state.last_sequence;
    let before = last().await;
    for user in BusUser::ALL {
        let thief = server.thief(user).await;
        for subject in attempts(user) {
            thief.client.publish(subject.clone(), "{}".into()).await.unwrap();
            thief.is_refused(&format!("Publish to \"{subject}\"")).await;
        }
    }
    assert_eq!(last().await, before, "something was stored");
    assert!(
        server.node.log().contains("Violation"),
        "what is refused is in the log, which other tests search for it"
    );
}

#[tokio::test]
async fn whoever_takes_in_requests_publishes_them_and_does_nothing_else() {
    let server = Guarded::start().await;
    let trigger = server.bus(BusUser::Trigger).await;
    let request = request("main");
    assert_eq!(trigger.ask(&request).await.unwrap(), Asked::New);
    assert_eq!(trigger.ask(&request).await.unwrap(), Asked::Before);
    let operator = jetstream::new(server.thief(BusUser::Operator).await.client);
    let stream = operator.get_stream("cutover-trigger").await.unwrap();
    let stored = stream.get_raw_message(1).await.unwrap();
    assert_eq!(serde_json::from_slice::<Request>(&stored.payload).unwrap(), request);
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1);

    // It can't even know which journal it is.
    assert!(matches!(trigger.open().await, Err(Error::EarlierServer)));
    let thief = server.thief(BusUser::Trigger).await;
    let refused = attempts(BusUser::Trigger);
    for needed in [
        Subject::Decisions(key()).to_string(),
        Subject::Run { stage: Stage::Build, key: key() }.to_string(),
        format!("CUTOVER.API.STREAM.MSG.GET.{LOG}"),
        "CUTOVER.API.DIRECT.GET.cutover-trigger".to_owned(),
        format!("$JS.ACK.{LOG}.run-build.1.1.1.1.0"),
        "$JS.API.STREAM.PURGE.cutover-trigger".to_owned(),
    ] {
        assert!(refused.contains(&needed), "{needed}");
    }
    for subject in refused {
        thief.client.publish(subject.clone(), "{}".into()).await.unwrap();
        thief.is_refused(&format!("Publish to \"{subject}\"")).await;
    }
    // A header is no way either: what is stored stays.
    for (header, value) in [("Nats-Rollup", "all"), ("Nats-Rollup", "sub"), ("Nats-TTL", "1s")] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(header, value);
        let asked = thief.client.request_with_headers(request.subject(), headers, "{}".into()).await.unwrap();
        assert!(asked.payload.starts_with(b"{\"error\""), "{header}: {:?}", asked.payload);
    }
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1);
}

#[tokio::test]
async fn a_stolen_key_can_listen_to_no_other_user_and_to_no_entry() {
    let server = Guarded::start().await;
    for user in BusUser::ALL {
        let thief = server.thief(user).await;
        let others = BusUser::ALL.into_iter().filter(|other| *other != user);
        let wanted = others.map(|other| format!("{}.>", other.inbox()));
        let all = [">", "_INBOX.>", "cutover.>", "cutover.log.>", "$JS.>", "$JS.API.>"].map(str::to_owned);
        for subject in wanted.chain(all) {
            let _refused = thief.client.subscribe(subject.clone()).await.unwrap();
            thief.is_refused(&format!("Subscription to \"{subject}\"")).await;
        }
    }
}

#[tokio::test]
async fn whoever_only_looks_reads_output_as_it_comes() {
    let server = Guarded::start().await;
    let observer = server.journal(BusUser::Observer).await;
    let builder = server.thief(BusUser::Program(Program::Builder)).await.client;
    let (task, deployment) = (Task { stage: Stage::Build, host: None }, plan(1, &[]).deployment);
    let say = async |line: &'static str| {
        let subject = Subject::output_of(&key(), &deployment, &task);
        // An answer says that it is stored.
        builder.request(subject, line.into()).await.unwrap();
    };
    let mut following = observer.output(&key(), &deployment, true);
    let mut heard = async || following.next().await.unwrap().unwrap().line;
    say("one").await;
    assert_eq!(heard().await, "one");
    say("two").await;
    say("three").await;
    assert_eq!((heard().await, heard().await), ("two".to_owned(), "three".to_owned()));
    let mut output = observer.output(&key(), &deployment, false);
    let mut lines = Vec::new();
    while let Some(line) = output.next().await.unwrap() {
        assert_eq!(line.task, task);
        lines.push(line.line);
    }
    assert_eq!(lines, ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_key_answers_for_its_own_program_alone() {
    let server = Guarded::start().await;
    let thief = server.thief(BusUser::Program(Program::Builder)).await.client;
    let mut pings = thief.subscribe(Program::Builder.asked_for_presence()).await.unwrap();
    thief.flush().await.unwrap();
    let answering = tokio::spawn(async move {
        while let Some(ping) = pings.next().await {
            let answer = "{\"type\":\"io.nats.micro.v1.ping_response\",\"name\":\"cutover-shipper\",\"id\":\"x\",\
                          \"version\":\"9.9.9\",\"metadata\":{\"protocol\":\"1\"}}";
            thief.publish(ping.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
    let crew = Crew::new().with(
        &server.journal(BusUser::Program(Program::Shipper)).await,
        &Script::default(),
        Program::Shipper,
    );
    let operator = server.bus(BusUser::Operator).await;
    let present = eventually(async || {
        let present = operator.presence(&[], Duration::from_millis(500)).await.unwrap();
        (present.len() == 2).then_some(present)
    })
    .await;
    for there in present {
        let of_the_thief = there.version == "9.9.9";
        assert_eq!(there.program == Program::Builder, of_the_thief, "{there:?}");
    }
    answering.abort();
    crew.stop().await;
}

#[tokio::test]
async fn what_a_program_that_is_gone_has_asked_for_keeps_no_work_from_the_others() {
    let server = Guarded::start().await;
    let builder = BusUser::Program(Program::Builder);
    let gone = server.thief(builder).await.client;
    let next = format!("CUTOVER.API.CONSUMER.MSG.NEXT.{LOG}.run-build");
    let request = "{\"batch\":1,\"expires\":600000000000}";
    let inbox = gone.new_inbox();
    let answers = gone.subscribe(inbox.clone()).await.unwrap();
    gone.publish_with_reply(next.clone(), inbox, request.into()).await.unwrap();
    // An answer says that the server has taken this in.
    gone.request(format!("CUTOVER.API.CONSUMER.INFO.{LOG}.run-build"), "".into()).await.unwrap();
    let operator = server.thief(BusUser::Operator).await.client;
    let stream = jetstream::new(operator).get_stream(LOG).await.unwrap();
    let waiting = async || stream.consumer_info("run-build").await.unwrap().num_waiting;
    assert_eq!(waiting().await, 1);
    drop((answers, gone));
    eventually(async || (waiting().await == 0).then_some(())).await;

    let client = server.thief(builder).await.client;
    let subject = Subject::Run { stage: Stage::Build, key: key() }.to_string();
    client.request(subject, "{}".into()).await.unwrap();
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.unwrap();
    client.publish_with_reply(next, inbox, request.into()).await.unwrap();
    let reply = messages.next().await.unwrap().reply.unwrap();
    let delivered = reply.split('.').nth(4).unwrap();
    assert_eq!(delivered, "1", "somebody else had it before: {reply}");
}

/// A configuration as an earlier version had it, that lets a builder in.
fn earlier(key: &str) -> String {
    format!(
        "authorization {{ users: [ {{ nkey: {key}, permissions: {{ publish: [\"$JS.API.STREAM.INFO.cutover\"], \
         subscribe: [\"_INBOX_builder.>\"] }} }} ] }}\n"
    )
}

#[tokio::test]
async fn a_server_with_the_configuration_of_an_earlier_version_is_named() {
    let key = Arc::new(Key::new(BusUser::Program(Program::Builder)));
    let node = Node::guarded("earlier", None, earlier(&key.public()), Some(key));
    let opened = node.answers().await.open().await;
    assert!(matches!(opened, Err(Error::EarlierServer)), "{opened:?}");
    assert!(!Error::EarlierServer.retryable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_runs_ends_where_its_server_comes_back_with_such_a_configuration() {
    let mut server = Guarded::start().await;
    let builder = BusUser::Program(Program::Builder);
    let crew = Crew::new().with(&server.journal(builder).await, &Script::default(), Program::Builder);
    server.becomes(earlier(&server.public()[&builder]));
    for worker in crew.workers {
        let ended = tokio::time::timeout(Duration::from_secs(60), worker).await;
        let ended = ended.expect("it goes on").unwrap();
        assert!(matches!(ended, Err(Error::EarlierServer)), "{ended:?}");
    }
}

#[tokio::test]
async fn whoever_has_no_key_is_not_let_in_and_a_refusal_is_said_at_once() {
    let server = Guarded::start().await;
    assert!(async_nats::connect(server.node.url()).await.is_err());
    let strangers = async_nats::ConnectOptions::with_nkey(
        cutover_bus::Key::new(BusUser::Operator).to_text().replace("operator ", "").trim().to_owned(),
    );
    assert!(strangers.connect(server.node.url()).await.is_err());

    let journal = server.journal(BusUser::Program(Program::Builder)).await;
    let mut log = journal.service(&key()).await.unwrap();
    let decided = journal.decide(&mut log, Decision::Accepted(plan(1, &["a"]))).await;
    let refused = Subject::Decisions(key()).to_string();
    assert!(
        matches!(&decided, Err(cutover_bus::DecideError::Bus(Error::NotAllowed { subject, .. })) if *subject == refused),
        "{decided:?}"
    );
}

#[tokio::test]
async fn every_instance_of_a_program_tells_whoever_may_deploy_whether_it_finds_a_secret() {
    let server = Guarded::start().await;
    let operator = server.bus(BusUser::Operator).await;
    let reference: Reference = "env://URL".parse().unwrap();
    let ask = async |program, expected| {
        operator.ask_for_secrets(program, &[&reference], expected, Duration::from_secs(20)).await.unwrap()
    };
    assert_eq!(ask(Program::Shipper, 1).await, []);
    let mut answering = tokio::task::JoinSet::new();
    for worker in ["1", "2"] {
        let shipper = server.bus(BusUser::Program(Program::Shipper)).await;
        let questions = shipper.secret_questions(Program::Shipper).await.unwrap();
        answering.spawn(questions.answer(worker, async move |references: &[Reference]| {
            let found = |_: &Reference| Sighting::Found { version: Some(worker.to_owned()) };
            references.iter().map(found).collect()
        }));
        // An answer says that the server knows what was said before.
        shipper.open().await.unwrap();
    }
    let mut told = ask(Program::Shipper, 2).await;
    told.sort_by(|one, other| one.worker.cmp(&other.worker));
    let expected = ["1", "2"].map(|worker| Sightings {
        worker: worker.to_owned(),
        sightings: vec![Sighting::Found { version: Some(worker.to_owned()) }],
    });
    assert_eq!(told, expected);
    assert_eq!(ask(Program::Builder, 1).await, []);
    let observer = server.bus(BusUser::Observer).await;
    let refused = observer.ask_for_secrets(Program::Shipper, &[&reference], 2, Duration::from_secs(20)).await;
    assert!(matches!(refused, Err(Error::NotAllowed { .. })), "{refused:?}");
}
