//! The duty of the certificates against the real ACME server, pebble, with real proxies that answer it, on a real journal.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fleet;
mod gate;
mod server;
mod site;

use std::time::Duration;

use cutover_core::{Cause, CertificateSource, Outcome, Proof, Reference, ServiceKey};
use site::Site;

/// Five years: none of them ends while a test runs.
const LONG: u32 = 5 * 365 * 24 * 3600;

fn key() -> ServiceKey {
    ServiceKey { destination: "production".parse().unwrap(), service: "shop".parse().unwrap() }
}

/// Asks again and again until something is there.
async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), wait)
        .await
        .unwrap_or_else(|_| panic!("not there within 90 s"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_get_one_certificate_and_a_third_one_gets_it_without_an_order() {
    let site = Site::start(LONG).await;
    let (first, second) = (site.host("127.0.0.2").await, site.host("127.0.0.3").await);
    site.pebble.resolve("a.test", &["127.0.0.2", "127.0.0.3"]).await;
    site.pebble.resolve("b.test", &["127.0.0.3"]).await;
    site.deploy(1, &["a.test", "b.test"], &[&first, &second], site.ordered(Proof::Http)).await;
    let shown = first.shows(|_| true).await;
    assert_eq!(shown.ordered_from, Some(site.pebble.directory()));
    let mut names = shown.names.clone();
    names.sort();
    assert_eq!(names, ["a.test", "b.test"]);
    assert_eq!(second.shows(|_| true).await, shown);
    assert_eq!(first.kept().await, second.kept().await);
    assert_eq!(site.pebble.counts(), (1, 1));

    site.ended(1).await;
    let third = site.host("127.0.0.4").await;
    site.deploy(2, &["a.test", "b.test"], &[&first, &second, &third], site.ordered(Proof::Http)).await;
    assert_eq!(third.shows(|_| true).await, shown);
    assert_eq!(site.pebble.counts(), (1, 1));

    // Another name needs another certificate; the account is found again, on whichever host there is.
    site.ended(2).await;
    for name in ["a.test", "c.test"] {
        site.pebble.resolve(name, &["127.0.0.4"]).await;
    }
    site.deploy(3, &["a.test", "c.test"], &[&third], site.ordered(Proof::Http)).await;
    let (_, account) = first.kept().await;
    third.shows(|shown| shown.names.contains(&"c.test".to_owned())).await;
    assert_eq!(third.kept().await.1, account);
    assert_eq!(site.pebble.counts(), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_ordered_anew_when_a_third_of_its_life_is_left() {
    let site = Site::start(20).await;
    let host = site.host("127.0.0.2").await;
    site.pebble.resolve("a.test", &["127.0.0.2"]).await;
    site.deploy(1, &["a.test"], &[&host], site.ordered(Proof::Http)).await;
    let first = host.shows(|_| true).await;
    let second = host.shows(|shown| shown.not_before > first.not_before).await;
    assert!(second.not_before < first.not_after, "{second:?} after {first:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_issued_and_no_proxy_takes_is_kept_for_it_and_not_ordered_again() {
    let site = Site::start(LONG).await;
    let host = site.host("127.0.0.2").await;
    site.pebble.resolve("a.test", &["127.0.0.2"]).await;
    host.gate.refuse(true);
    site.deploy(1, &["a.test"], &[&host], site.ordered(Proof::Http)).await;
    let issued = eventually(async || site.note().await?.orders.issued().cloned()).await;
    assert_eq!(
        (issued.names.as_slice(), issued.directory),
        (&["a.test".to_owned()][..], site.pebble.directory())
    );
    assert_eq!(site.note().await.unwrap().orders.latest(), None);
    site.ended(1).await;
    assert_eq!(host.shown().await, None);

    host.gate.refuse(false);
    site.deploy(2, &["a.test"], &[&host], site.ordered(Proof::Http)).await;
    assert_eq!(host.shows(|_| true).await.not_after * 1000, issued.until.0);
    assert_eq!(site.pebble.counts(), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_takes_no_certificate_does_not_keep_the_others_from_it() {
    let site = Site::start(LONG).await;
    let (bad, first, second) =
        (site.host("127.0.0.2").await, site.host("127.0.0.3").await, site.host("127.0.0.4").await);
    site.pebble.resolve("a.test", &["127.0.0.3"]).await;
    site.deploy(1, &["a.test"], &[&first], site.ordered(Proof::Http)).await;
    let shown = first.shows(|_| true).await;
    site.ended(1).await;
    bad.gate.refuse(true);
    site.deploy(2, &["a.test"], &[&bad, &first, &second], site.ordered(Proof::Http)).await;
    assert_eq!(second.shows(|_| true).await, shown);
    assert_eq!((bad.shown().await, site.pebble.counts()), (None, (1, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_leads_elsewhere_is_named_and_the_next_deployment_orders_at_once() {
    let site = Site::start(LONG).await;
    let host = site.host("127.0.0.2").await;
    site.pebble.resolve("a.test", &["127.0.0.2"]).await;
    site.pebble.resolve("elsewhere.test", &["127.0.0.9"]).await;
    site.deploy(1, &["a.test", "elsewhere.test"], &[&host], site.ordered(Proof::Http)).await;
    let reason = eventually(async || {
        let orders = site.note().await?.orders;
        Some(orders.latest()?.reason.clone()).filter(|reason| !reason.contains("broken off"))
    })
    .await;
    assert!(reason.contains("elsewhere.test") && reason.contains("127.0.0.9"), "{reason}");
    site.ended(1).await;
    assert_eq!(host.shown().await, None);
    assert_eq!(site.pebble.counts().0, 1);

    site.pebble.resolve("elsewhere.test", &["127.0.0.2"]).await;
    site.deploy(2, &["a.test", "elsewhere.test"], &[&host], site.ordered(Proof::Http)).await;
    let shown = host.shows(|_| true).await;
    let well = async || site.note().await.filter(|note| note.orders.latest().is_none())?.shown;
    let noted = eventually(well).await;
    assert_eq!((noted.names, noted.until.0), (shown.names, shown.not_after * 1000));
    assert_eq!(site.pebble.counts(), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_proved_in_the_handshake_where_that_is_asked_for() {
    let site = Site::start(LONG).await;
    let host = site.host("127.0.0.2").await;
    site.pebble.resolve("a.test", &["127.0.0.2"]).await;
    site.deploy(1, &["a.test"], &[&host], site.ordered(Proof::Handshake)).await;
    assert_eq!(host.shows(|_| true).await.names, ["a.test"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ones_own_certificate_is_shown_before_the_traffic_comes_and_one_that_does_not_fit_is_refused() {
    let site = Site::start(LONG).await;
    let host = site.host("127.0.0.2").await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: String| {
        std::fs::write(folder.path().join(name), content).unwrap();
        Reference::File(folder.path().join(name))
    };
    let [own, other] =
        std::array::from_fn(|_| rcgen::generate_simple_self_signed(["*.a.test".to_owned()]).unwrap());
    let certificate = file("chain.pem", own.cert.pem());
    let key = file("key.pem", own.signing_key.serialize_pem());
    let source = CertificateSource::Own { certificate: certificate.clone(), key };
    site.deploy(1, &["*.a.test"], &[&host], source).await;
    assert_eq!(site.ended(1).await.outcome(), Some(Outcome::Live));
    let shown = host.shown().await.unwrap();
    assert_eq!((shown.names.as_slice(), shown.ordered_from.as_ref()), (&["*.a.test".to_owned()][..], None));

    let secret = other.signing_key.serialize_pem();
    let source = CertificateSource::Own { certificate, key: file("other.pem", secret.clone()) };
    site.deploy(2, &["*.a.test"], &[&host], source).await;
    let taken_back = site.ended(2).await;
    assert_eq!(taken_back.outcome(), Some(Outcome::TakenBack));
    let Some(Cause::Failed(_, failure)) = taken_back.cause() else { panic!("{taken_back:?}") };
    assert!(failure.message.contains("certificate and key don't fit"), "{failure:?}");
    let lines: Vec<&str> = secret.lines().collect();
    assert!(lines.iter().all(|line| !failure.message.contains(line)), "{failure:?}");
    assert_eq!(host.shown().await, Some(shown));
    assert_eq!(site.pebble.counts(), (0, 0));
}
