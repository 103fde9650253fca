//! What the proxy is told of certificates, accounts and challenges, and keeps.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use cutover_control::{
    Account, Certificate, Challenge, Refusal, Request, Response, Route, SecretText, ServiceKey, Switch,
    TlsPolicy,
};
use cutover_proxy::{Error, Server};
use hyper::{Method, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::process::Command;
use tokio::time::timeout;
use x509_cert::der::{Decode, oid::ObjectIdentifier};

use crate::application::Application;
use crate::authority::{Authority, shake};
use crate::caller::{LIMIT, switch};
use crate::client::{Client, request};
use crate::proxy::Proxy;

/// The extension that an authority looks for (RFC 8737, 3).
const ACME_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.31");

async fn told(proxy: &Proxy) -> (Vec<(ServiceKey, Certificate)>, Vec<Account>) {
    match proxy.call(Request::Certificates).await.unwrap() {
        Response::Certificates { certificates, accounts, .. } => (certificates, accounts),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_with_a_reason() {
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    let good = authority.certify(&["a.example"]);
    let with_key = |key: SecretText| Certificate { key, ..good.clone() };
    let with_chain = |chain: &str| Certificate { chain: chain.to_owned(), ..good.clone() };
    for (certificate, reason) in [
        (with_key(authority.certify(&["a.example"]).key), "don't fit"),
        (with_key(SecretText::new("PRIVATE".to_owned())), "no PEM of a private key"),
        (with_chain(""), "no PEM of certificates"),
        (with_chain("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "can't be read"),
        (authority.certify_until(&["a.example"], 2001), "is over"),
        (authority.certify(&[]), "names no host"),
    ] {
        let refused = proxy.certify("app", certificate).await;
        let is_reason = |message: &String| message.contains(reason) && !message.contains("PRIVATE");
        assert!(matches!(&refused, Err(Refusal::Invalid { message }) if is_reason(message)), "{refused:?}");
    }
    assert_eq!(told(&proxy).await.0, []);
}

#[tokio::test]
async fn keys_are_taken_in_every_form_that_openssl_writes() {
    let proxy = Proxy::start_secured().await;
    let folder = tempfile::tempdir().unwrap();
    let openssl = async |words: &str| {
        let output =
            Command::new("openssl").args(words.split(' ')).current_dir(&folder).output().await.unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for (make, form) in [
        ("genrsa -traditional -out key.pem 2048", "BEGIN RSA PRIVATE KEY"),
        ("ecparam -genkey -name prime256v1 -out key.pem", "BEGIN EC PRIVATE KEY"),
        ("genpkey -algorithm ed25519 -out key.pem", "BEGIN PRIVATE KEY"),
    ] {
        openssl(make).await;
        openssl("req -x509 -key key.pem -subj /CN=x -addext subjectAltName=DNS:a.example -out chain.pem")
            .await;
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        let (chain, key) = (read("chain.pem"), read("key.pem"));
        assert!(key.contains(form), "{key}");
        let certificate = Certificate { chain, key: SecretText::new(key), ordered_from: None };
        assert_eq!(proxy.certify("app", certificate).await.unwrap().names, ["a.example"], "{form}");
    }
}

#[tokio::test]
async fn of_two_that_were_ordered_the_one_that_ends_last_stays_and_ones_own_always_takes_its_place() {
    let proxy = Proxy::start_secured().await;
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let ordered = |names: &[&str], year, from: &str| {
        let ordered_from = Some(format!("https://{from}.example/dir"));
        Certificate { ordered_from, ..one.certify_until(names, year) }
    };
    let late = ordered(&["a.example"], 2090, "ca");
    let status = proxy.certify("app", late.clone()).await.unwrap();
    assert_eq!((&status.names, status.issuer.as_str()), (&vec!["a.example".to_owned()], "CN=one"));
    let early = proxy.certify("app", ordered(&["a.example"], 2089, "ca")).await.unwrap();
    assert_eq!(early.not_after, status.not_after);
    assert_eq!(told(&proxy).await.0, [(ServiceKey::new("production", "app"), late)]);
    // Other names, another authority, and one's own: none of them is the same certificate, only older.
    let more = proxy.certify("app", ordered(&["a.example", "b.example"], 2088, "ca")).await.unwrap();
    assert_eq!(more.names, ["a.example", "b.example"]);
    let elsewhere = proxy.certify("app", ordered(&["a.example"], 2087, "other")).await.unwrap();
    assert_eq!(elsewhere.ordered_from.as_deref(), Some("https://other.example/dir"));
    for year in [2086, 2085] {
        let own = proxy.certify("app", one.certify_until(&["a.example"], year)).await.unwrap();
        assert!(own.ordered_from.is_none() && own.not_after < elsewhere.not_after, "{own:?}");
    }
    let others = other.certify_until(&["a.example"], 2080);
    assert_eq!(proxy.certify("app", others).await.unwrap().issuer, "CN=other");
    assert!(shake(&other.client(&[]), proxy.https(), "a.example").await.is_ok());
    assert!(shake(&one.client(&[]), proxy.https(), "a.example").await.is_err());
}

#[tokio::test]
async fn a_service_that_goes_back_to_other_hosts_finds_their_certificate_until_it_is_retired() {
    let app = Application::named("app").await;
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    let names = async |proxy: &Proxy| -> Vec<String> {
        proxy.status().await.certificates.into_iter().flat_map(|shown| shown.names).collect()
    };
    let to = async |sequence, host: &str| {
        let route = Route { hosts: vec![host.to_owned()], ..Route::default() };
        let switch = Switch { route, ..switch(sequence, &[app.target()]) };
        proxy.call(Request::Switch(Box::new(switch))).await.unwrap();
    };
    to(1, "a.example").await;
    proxy.retire(1, "d1").await.unwrap();
    let first = authority.certify_until(&["a.example"], 2090);
    proxy.certify("app", first.clone()).await.unwrap();
    to(2, "b.example").await;
    let second = authority.certify_until(&["b.example", "c.example"], 2080);
    proxy.certify("app", second.clone()).await.unwrap();
    assert_eq!(names(&proxy).await, ["a.example", "b.example", "c.example"]);
    let key = ServiceKey::new("production", "app");
    assert_eq!(told(&proxy).await.0, [(key.clone(), second), (key, first)]);
    for name in ["a.example", "c.example"] {
        assert!(shake(&authority.client(&[]), proxy.https(), name).await.is_ok(), "{name}");
    }
    // Of two for one name, the last one is shown, though it ends first; one that has no other name goes.
    let third =
        proxy.certify("app", authority.certify_until(&["c.example", "*.c.example"], 2070)).await.unwrap();
    let stream = shake(&authority.client(&[]), proxy.https(), "c.example").await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let shown = x509_cert::Certificate::from_der(&shown).unwrap();
    let until = shown.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    assert_eq!(until, third.not_after);
    proxy.certify("app", authority.certify(&["b.example", "*.c.example", "c.example"])).await.unwrap();
    assert_eq!(names(&proxy).await, ["a.example", "b.example", "*.c.example", "c.example"]);

    proxy.retire(2, "d2").await.unwrap();
    assert_eq!(names(&proxy).await, ["b.example", "*.c.example", "c.example"]);
    let proxy = proxy.restart().await;
    assert_eq!(names(&proxy).await, ["b.example", "*.c.example", "c.example"]);
    assert!(shake(&authority.client(&[]), proxy.https(), "a.example").await.is_err());
}

#[tokio::test]
async fn certificates_and_accounts_survive_a_restart_and_nobody_else_may_read_them() {
    let app = Application::named("app").await;
    let proxy = Proxy::start_secured().await;
    let authority = Authority::new("ca");
    proxy.switch(1, &[app.target()]).await;
    let certificate = authority.certify(&["a.example"]);
    proxy.certify("app", certificate.clone()).await.unwrap();
    let credentials = SecretText::new("CREDENTIALS".to_owned());
    let account = Account { directory: "https://ca.example/dir".to_owned(), credentials };
    let other = Account { directory: "https://other.example/dir".to_owned(), ..account.clone() };
    let earlier = Account { credentials: SecretText::new("EARLIER".to_owned()), ..account.clone() };
    for account in [&earlier, &other, &account] {
        proxy.call(Request::KeepAccount { account: account.clone() }).await.unwrap();
    }

    let keyring = proxy.options.state.join("keyring.json");
    assert_eq!(fs::metadata(&keyring).unwrap().permissions().mode() & 0o777, 0o600);
    let state = fs::read_to_string(proxy.options.state.join("state.json")).unwrap();
    let status = format!("{:?}", proxy.call(Request::Status).await);
    let told_all = format!("{:?}", proxy.call(Request::Certificates).await);
    let line = &certificate.key.expose().lines().nth(1).unwrap().to_owned();
    for text in [state, status, told_all] {
        assert!(!text.contains(line) && !text.contains("CREDENTIALS"), "{text}");
    }

    let proxy = proxy.restart().await;
    assert_eq!(
        told(&proxy).await,
        (vec![(ServiceKey::new("production", "app"), certificate)], vec![account.clone(), other])
    );
    assert_eq!(proxy.status().await.certificates[0].names, ["a.example"]);
    assert!(shake(&authority.client(&[]), proxy.https(), "a.example").await.is_ok());

    // As an older version has it: one account.
    let text = fs::read_to_string(&keyring).unwrap();
    let (older, _) = text.split_once(r#","accounts""#).unwrap();
    fs::write(&keyring, format!("{older}}}}}")).unwrap();
    let mut proxy = proxy.restart().await;
    assert_eq!(told(&proxy).await.1, [account]);

    proxy.end().await;
    let server = Server::bind(&proxy.options).await.unwrap();
    assert!(!format!("{server:?}").contains(line));
    drop(server);
    fs::write(&keyring, fs::read_to_string(&keyring).unwrap().replace("BEGIN CERT", "BEGIN DIRT")).unwrap();
    let refused = Server::bind(&proxy.options).await.unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
    assert!(!format!("{refused:?}").contains(line));
}

#[tokio::test]
async fn an_authority_is_answered_before_any_route_and_redirect_and_also_by_a_successor() {
    let app = Application::named("app").await;
    let mut proxy = Proxy::start_secured().await;
    let path = "/.well-known/acme-challenge/token-1";
    let ask = async |proxy: &Proxy, path: &str| {
        let mut client = Client::connect(proxy.address).await;
        client.ask(request(Method::GET, "a.example", path, "")).await.unwrap()
    };
    let challenge = Challenge::Http01 { token: "token-1".to_owned(), answer: "token-1.thumb".to_owned() };
    assert_eq!(proxy.call(Request::Answer { challenge }).await, Ok(Response::Answering));
    assert_eq!(ask(&proxy, path).await, (StatusCode::OK, "token-1.thumb".to_owned()));

    let tls = Some(TlsPolicy { redirect: true, hsts_seconds: 0 });
    let insisting = Switch { tls, ..switch(1, &[app.target()]) };
    proxy.call(Request::Switch(Box::new(insisting))).await.unwrap();
    proxy.certify("app", Authority::new("ca").certify(&["a.example"])).await.unwrap();
    assert_eq!(ask(&proxy, "/").await.0, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(ask(&proxy, path).await, (StatusCode::OK, "token-1.thumb".to_owned()));
    // What is not known here may be the application's own.
    assert_eq!(ask(&proxy, &format!("{path}0")).await.0, StatusCode::MOVED_PERMANENTLY);

    let successor = proxy.successor().await;
    proxy.ended().await;
    assert_eq!(ask(&successor, path).await, (StatusCode::OK, "token-1.thumb".to_owned()));
}

#[tokio::test]
async fn a_challenge_that_cannot_be_answered_is_refused_and_the_oldest_goes_when_there_are_too_many() {
    let proxy = Proxy::start_secured().await;
    let http = |token: &str, answer: String| Challenge::Http01 { token: token.to_owned(), answer };
    let tls =
        |host: &str, digest: &str| Challenge::TlsAlpn01 { host: host.to_owned(), digest: digest.to_owned() };
    for challenge in [
        http("", ".thumb".to_owned()),
        http("a/b", "a/b.thumb".to_owned()),
        http("a", "b.thumb".to_owned()),
        http("a", format!("a.{}", "x".repeat(2000))),
        tls("*.a.example", &"00".repeat(32)),
        tls("a.example", "00"),
    ] {
        let refused = proxy.call(Request::Answer { challenge }).await;
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    }
    for number in 0..101 {
        let challenge = http(&number.to_string(), format!("{number}.thumb"));
        proxy.call(Request::Answer { challenge }).await.unwrap();
    }
    let mut client = Client::connect(proxy.address).await;
    for (number, status) in [(0, StatusCode::NOT_FOUND), (1, StatusCode::OK), (100, StatusCode::OK)] {
        let asked = request(Method::GET, "a", &format!("/.well-known/acme-challenge/{number}"), "");
        assert_eq!(client.ask(asked).await.unwrap().0, status, "{number}");
    }
}

#[tokio::test]
async fn an_authority_that_asks_by_a_handshake_is_shown_the_digest() {
    let proxy = Proxy::start_secured().await;
    let challenge = Challenge::TlsAlpn01 { host: "a.example".to_owned(), digest: "5a".repeat(32) };
    proxy.call(Request::Answer { challenge }).await.unwrap();
    let ask = async |host: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &proxy.https().to_string(), "-servername", host])
            .args(["-alpn", "acme-tls/1"])
            .stdin(Stdio::null())
            .output();
        timeout(LIMIT, output).await.unwrap().unwrap()
    };
    let shown = ask("a.example").await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("ALPN protocol: acme-tls/1"), "{shown:?}");
    let certificate = CertificateDer::from_pem_slice(&shown.stdout).unwrap();
    let certificate = x509_cert::Certificate::from_der(&certificate).unwrap();
    let extensions = certificate.tbs_certificate().extensions().unwrap();
    let found = extensions.iter().find(|extension| extension.extn_id == ACME_IDENTIFIER).unwrap();
    assert!(found.critical);
    assert_eq!(found.extn_value.as_bytes(), [&[4, 32][..], &[0x5a; 32]].concat());
    assert!(!ask("b.example").await.status.success());
}
