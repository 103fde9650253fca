//! Calls to a proxy, over a real socket.

use std::path::{Path, PathBuf};

use cutover_control::{
    Account, Call, Canary, Certificate, CertificateStatus, Challenge, Maintenance, Pause, Refusal, Reply,
    Request, Response, SecretText, ServiceStatus, SetStatus, Switch, encode_reply,
};
use cutover_core::{DeploymentId, Epoch, Failure, JournalId, ServiceKey};
use cutover_fleet::{Error, epoch_of, key_of};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::machine;

/// A control socket that answers the calls of one connection with these lines, and then hangs up.
struct Control {
    folder: TempDir,
    called: JoinHandle<Request>,
}

impl Control {
    fn answering(reply: &Reply) -> Self {
        Self::saying(encode_reply(reply).unwrap())
    }

    /// To a switch, and to the question after it what serves now.
    fn switching(reply: &Reply) -> Self {
        let status = Ok(Response::Status {
            version: "1".into(),
            instance: "i".into(),
            services: vec![service("hello")],
        });
        Self::saying([encode_reply(reply).unwrap(), encode_reply(&status).unwrap()].concat())
    }

    fn saying(line: Vec<u8>) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("control.sock")).unwrap();
        let called = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut call = String::new();
            stream.read_line(&mut call).await.unwrap();
            stream.write_all(&line).await.unwrap();
            Call::from_line(call.as_bytes()).unwrap().request
        });
        Self { folder, called }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// What was asked.
    async fn asked(self) -> Request {
        self.called.await.unwrap()
    }
}

fn key() -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: "hello".parse().unwrap() }
}

fn epoch() -> Epoch {
    Epoch { journal: JournalId("j".into()), sequence: 7 }
}

fn deployment() -> DeploymentId {
    "01jd0000000000000000000000".parse().unwrap()
}

fn switch() -> Switch {
    let (deployment, release) = (deployment(), "0123456789ab");
    Switch::new(key_of(&key()), epoch_of(&epoch()), deployment.as_str(), release, Vec::new())
}

fn service(name: &str) -> ServiceStatus {
    let active = SetStatus {
        requests: 40,
        server_errors: 2,
        proxy_errors: 1,
        ..SetStatus::new(deployment().as_str(), "0123456789ab")
    };
    let key = cutover_control::ServiceKey::new("production", name);
    ServiceStatus { active: Some(active), ..ServiceStatus::new(key, epoch_of(&epoch())) }
}

#[tokio::test]
async fn a_switch_arrives_as_it_was_made_and_answers_with_what_served_before() {
    let control = Control::switching(&Ok(Response::Switched { previous: Some("before".into()) }));
    let (previous, serving) = machine().proxy_at(&control.socket()).switch(switch()).await.unwrap();
    assert_eq!(previous.as_deref(), Some("before"));
    assert_eq!(serving.as_deref(), Some(deployment().as_str()));
    assert_eq!(control.asked().await, Request::Switch(Box::new(switch())));
}

#[tokio::test]
async fn a_canary_arrives_as_it_was_made_and_answers_with_what_has_the_rest() {
    let control = Control::answering(&Ok(Response::Weighted { active: "before".into() }));
    let canary =
        Canary { switch: switch(), weight: 100, hold_ms: 5_000, sticky: true, choose: None, mirror: 0 };
    let active = machine().proxy_at(&control.socket()).canary(canary.clone()).await.unwrap();
    assert_eq!(active, "before");
    assert_eq!(control.asked().await, Request::Canary(Box::new(canary)));
}

#[tokio::test]
async fn halts_carry_the_journal_where_there_is_one() {
    let machine = machine();
    let journal = JournalId("j".into());
    let pause = Pause { key: key_of(&key()), journal: None, hold_ms: 1_000, max_waiting: 10 };
    let control = Control::answering(&Ok(Response::Paused));
    machine.proxy_at(&control.socket()).pause(pause.clone()).await.unwrap();
    assert_eq!(control.asked().await, Request::Pause(pause));
    let control = Control::answering(&Ok(Response::Resumed));
    machine.proxy_at(&control.socket()).resume(&key(), Some(&journal)).await.unwrap();
    assert_eq!(control.asked().await, Request::Resume { key: key_of(&key()), journal: Some("j".into()) });
    let key_there = key_of(&key());
    let maintenance =
        Maintenance { key: key_there, journal: Some("j".into()), page: None, until: None, choose: None };
    let control = Control::answering(&Ok(Response::Away));
    machine.proxy_at(&control.socket()).maintain(maintenance.clone()).await.unwrap();
    assert_eq!(control.asked().await, Request::Maintenance(Box::new(maintenance)));
    let control = Control::answering(&Ok(Response::Back));
    machine.proxy_at(&control.socket()).end_maintenance(&key(), None).await.unwrap();
    assert_eq!(control.asked().await, Request::EndMaintenance { key: key_of(&key()), journal: None });
}

#[tokio::test]
async fn a_restore_and_a_retire_carry_the_claim() {
    let control = Control::answering(&Ok(Response::Restored { serving: None }));
    let machine = machine();
    let serving = machine.proxy_at(&control.socket()).restore(&key(), &epoch(), &deployment()).await;
    assert_eq!(serving.unwrap(), None);
    let Request::Restore { epoch: asked, .. } = control.asked().await else { panic!("no restore") };
    assert_eq!(asked, epoch_of(&epoch()));

    let target = cutover_control::Target { replica: "new-1".into(), address: "127.0.0.1:1".parse().unwrap() };
    let control = Control::answering(&Ok(Response::Retired { serving: vec![target], draining: Vec::new() }));
    let retired = machine.proxy_at(&control.socket()).retire(&key(), &epoch(), &deployment()).await;
    assert_eq!(retired.unwrap(), (vec!["new-1".to_owned()], Vec::new()));
    assert!(matches!(control.asked().await, Request::Retire { .. }));
}

#[tokio::test]
async fn one_service_is_found_among_all() {
    for (known, found) in [(vec![service("other"), service("hello")], true), (vec![service("other")], false)]
    {
        let status = Response::Status { version: "1".into(), instance: "i".into(), services: known };
        let control = Control::answering(&Ok(status));
        let status = machine().proxy_at(&control.socket()).service(&key()).await.unwrap();
        assert_eq!(status, found.then(|| service("hello")));
    }
}

#[tokio::test]
async fn a_service_of_another_journal_is_known_before_a_switch() {
    for (known, journal, admitted) in
        [("hello", "j", true), ("hello", "other", false), ("else", "other", true)]
    {
        let status =
            Response::Status { version: "1".into(), instance: "i".into(), services: vec![service(known)] };
        let control = Control::answering(&Ok(status));
        let machine = machine();
        let answer = machine.proxy_at(&control.socket()).admits(&key(), &JournalId(journal.into())).await;
        assert_eq!(answer.is_ok(), admitted, "{answer:?}");
        if let Err(error) = answer {
            assert!(
                matches!(error, Error::Refused { refusal: Refusal::ForeignJournal { .. }, .. }),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_service_is_adopted_for_a_journal() {
    let control = Control::answering(&Ok(Response::Adopted));
    machine().proxy_at(&control.socket()).adopt(&key(), &JournalId("other".into())).await.unwrap();
    assert_eq!(control.asked().await, Request::Adopt { key: key_of(&key()), journal: "other".into() });

    let refusal = Refusal::ForeignJournal { journal: "j".into() };
    let control = Control::switching(&Err(refusal));
    let error = machine().proxy_at(&control.socket()).switch(switch()).await.unwrap_err();
    assert!(!error.retryable(), "{error}");
    assert!(Failure::from(error).hint.unwrap().contains("cutover adopt"));
}

#[tokio::test]
async fn what_belongs_to_certificates_arrives_as_it_was_said() {
    let certificate = Certificate {
        chain: "CHAIN".into(),
        key: SecretText::new("KEY".into()),
        ordered_from: Some("https://ca.example/dir".into()),
    };
    let shown = CertificateStatus {
        names: vec!["a.example".into()],
        issuer: "CN=ca".into(),
        not_before: 1,
        not_after: 2,
        ordered_from: None,
    };
    let control = Control::answering(&Ok(Response::Certified { certificate: shown.clone() }));
    let machine = machine();
    let certified = machine.proxy_at(&control.socket()).certify(&key(), certificate.clone()).await;
    assert_eq!(certified.unwrap(), shown);
    let certify = Request::Certify { key: key_of(&key()), certificate: certificate.clone() };
    assert_eq!(control.asked().await, certify);

    let account =
        Account { directory: "https://ca.example/dir".into(), credentials: SecretText::new("{}".into()) };
    let control = Control::answering(&Ok(Response::Kept));
    machine.proxy_at(&control.socket()).keep_account(account.clone()).await.unwrap();
    assert_eq!(control.asked().await, Request::KeepAccount { account: account.clone() });

    let kept = vec![(key_of(&key()), certificate)];
    let other = Account { directory: "https://other.example/dir".into(), ..account.clone() };
    for (accounts, all) in [
        (Vec::new(), vec![account.clone()]),
        (vec![account.clone()], vec![account.clone()]),
        (vec![other.clone(), account.clone()], vec![other, account.clone()]),
    ] {
        let (certificates, account) = (kept.clone(), Some(account.clone()));
        let control = Control::answering(&Ok(Response::Certificates { certificates, account, accounts }));
        let told = machine.proxy_at(&control.socket()).certificates().await;
        assert_eq!(told.unwrap(), (kept.clone(), all));
    }

    let challenge = Challenge::Http01 { token: "t".into(), answer: "t.k".into() };
    let control = Control::answering(&Ok(Response::Answering));
    machine.proxy_at(&control.socket()).answer(challenge.clone()).await.unwrap();
    assert_eq!(control.asked().await, Request::Answer { challenge });
}

#[tokio::test]
async fn a_refusal_says_who_refused_and_lasts() {
    let highest = epoch_of(&Epoch { sequence: 8, ..epoch() });
    let control = Control::switching(&Err(Refusal::StaleEpoch { highest }));
    let error = machine().proxy_at(&control.socket()).switch(switch()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::StaleEpoch { .. }, .. }), "{error}");
    let failure = Failure::from(error);
    assert!(!failure.retry && failure.hint.is_some());
    assert!(failure.message.contains("localhost") && failure.message.contains('8'), "{}", failure.message);

    let control = Control::switching(&Err(Refusal::Storage { message: "the disk is full".into() }));
    let error = machine().proxy_at(&control.socket()).switch(switch()).await.unwrap_err();
    assert!(error.retryable(), "{error}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_may_come_back() {
    let error = machine().proxy_at(Path::new("/nonexistent/control.sock")).status().await.unwrap_err();
    assert!(matches!(error, Error::NoProxy { .. }) && error.retryable(), "{error}");
    assert!(Failure::from(error).hint.unwrap().contains("cutover setup"));
}

#[tokio::test]
async fn what_is_no_answer_to_the_call_is_not_taken_for_one() {
    let other = encode_reply(&Ok(Response::Adopted)).unwrap();
    for line in [other, b"{\"ok\":".to_vec(), b"hello\n".to_vec()] {
        let control = Control::saying(line);
        let error = machine().proxy_at(&control.socket()).status().await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_up_has_said_nothing() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let proxy = tokio::spawn(async move {
        let mut calls = 0;
        while let Ok((stream, _)) = listener.accept().await {
            BufReader::new(stream).read_line(&mut String::new()).await.unwrap();
            calls += 1;
            // One that hands over does so once.
            if calls == 3 {
                break;
            }
        }
        calls
    });
    let error = machine().proxy_at(&socket).switch(switch()).await.unwrap_err();
    assert!(matches!(error, Error::Broken { .. }) && error.retryable(), "{error}");
    assert_eq!(proxy.await.unwrap(), 3);
}

#[tokio::test]
async fn a_connection_is_kept_until_the_proxy_is_started_anew() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("control.sock");
    let status = encode_reply(&Ok(Response::Status {
        version: "1".into(),
        instance: "i".into(),
        services: Vec::new(),
    }))
    .unwrap();
    let machine = machine();
    // Each of two proxies, one after the other, sees one connection, and answers two calls on it.
    for _ in 0..2 {
        let listener = UnixListener::bind(&socket).unwrap();
        let status = status.clone();
        let proxy = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            for _ in 0..2 {
                let mut call = String::new();
                stream.read_line(&mut call).await.unwrap();
                stream.write_all(&status).await.unwrap();
            }
        });
        for _ in 0..2 {
            assert_eq!(machine.proxy_at(&socket).status().await.unwrap(), []);
        }
        proxy.await.unwrap();
        std::fs::remove_file(&socket).unwrap();
    }
}
