//! What a host lacks of an image, and nothing else.

use std::time::Duration;

use cutover_core::Container;
use cutover_e2e::Link;
use cutover_store::Digest;
use tokio::time::{sleep, timeout};

use crate::bench::Bench;
use crate::image::{application, image, image_of, payload};

/// What a pull takes beside the content of layers: requests, headers, manifest and config.
const OVERHEAD: u64 = 20_000;
/// What each layer of an image has that is interrupted on its way: enough that it is worth keeping.
const LAYER: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_host_lacks_is_sent() {
    small_changes(&Bench::up("ship").await).await;
}

/// The first time, a layer that changed, and a name that was given to something else.
pub async fn small_changes(bench: &Bench) {
    let (app, old, new) = (application(), payload(1, 4 << 20), payload(2, 1 << 20));
    let first = image(&bench.store, &[&app, &old]).await;
    let plan = bench.plan("aaaaaa", &first);

    let sent = bench.ship(&plan).await.unwrap();
    let size = (app.len() + old.len()) as u64;
    assert!((size..size + OVERHEAD).contains(&sent), "{sent} of {size}");
    assert_eq!(bench.ship(&plan).await.unwrap(), 0);

    let second = image(&bench.store, &[&app, &new]).await;
    let changed = bench.plan("bbbbbb", &second);
    let sent = bench.ship(&changed).await.unwrap();
    let size = new.len() as u64;
    assert!((size..size + OVERHEAD).contains(&sent), "{sent} of {size}");

    let images = bench.images();
    for digest in [&first, &second] {
        assert!(images.contains(&format!("cutover/production/hello:{}", digest.short())), "{images}");
    }
    assert!(!images.contains("127.0.0.1"), "the name of a pull was left behind: {images}");

    // A name that was given to something else says nothing.
    let name = |digest: &Digest| format!("cutover/production/hello:{}", digest.short());
    bench.docker(&["tag", &name(&first), &name(&second)]);
    let sent = bench.ship(&changed).await.unwrap();
    assert!((1..OVERHEAD + size).contains(&sent), "{sent}");
    let id = |name: &str| bench.docker(&["inspect", "--format", "{{.Id}}", name]);
    assert_ne!(id(&name(&first)), id(&name(&second)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_said() {
    let bench = Bench::up("ship-fails").await;
    let app = application();
    let whole = image(&bench.store, &[&app, &payload(3, 8 << 20)]).await;

    // The disk is full where Docker puts what it downloads.
    bench.host.exec(&["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/var/lib/docker/tmp"]).unwrap();
    let failure = bench.ship(&bench.plan("aaaaaa", &whole)).await.unwrap_err();
    assert!(failure.message.contains("has no space left"), "{failure:?}");
    assert!(failure.message.contains(&bench.host.address) && !failure.retry, "{failure:?}");
    assert!(failure.hint.is_some(), "{failure:?}");
    bench.host.exec(&["umount", "/var/lib/docker/tmp"]).unwrap();

    let nowhere = Digest::of(b"never stored");
    let failure = bench.ship(&bench.plan("bbbbbb", &nowhere)).await.unwrap_err();
    assert!(!failure.retry, "{failure:?}");
    assert!(failure.hint.unwrap().contains("cutover replay --from build"), "{}", failure.message);

    let mut impatient = bench.plan("cccccc", &whole);
    impatient.release.settings.timeouts.ship = "1ms".parse().unwrap();
    let failure = bench.ship(&impatient).await.unwrap_err();
    assert!(failure.message.contains("took longer than 1ms"), "{failure:?}");
}

/// Gives the host's Docker a disk of its own, so small that an image may be too large for it.
fn small_disk(bench: &Bench, mebibytes: u32) {
    let script =
        "set -e; pid=$(cat /var/run/docker.pid); tr '\\0' '\\n' </proc/$pid/cmdline >/run/dockerd.arguments
        within() { for _ in $(seq 300); do if \"$@\"; then return; fi; sleep 0.1; done; exit 1; }
        ended() { ! [ -e /proc/$pid ]; }
        answers() { docker version >/dev/null 2>&1; }
        kill $pid; within ended
        mount -t tmpfs -o size=$1m tmpfs /var/lib/docker
        xargs -d '\\n' setsid </run/dockerd.arguments >/run/dockerd.log 2>&1 &
        within answers";
    bench.host.exec(&["bash", "-c", script, "bash", &mebibytes.to_string()]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_fit_is_not_sent() {
    let bench = Bench::up("ship-small").await;
    let (base, change) = (payload(1, 32 << 20), payload(2, 4 << 20));
    let fits = image(&bench.store, &[&base]).await;
    let shares = image(&bench.store, &[&base, &change]).await;
    let large = image(&bench.store, &[&payload(3, 48 << 20)]).await;
    // What must be left, the first image twice, and some more.
    small_disk(&bench, 256 + 64 + 24);
    bench.ship(&bench.plan("aaaaaa", &fits)).await.unwrap();
    // It would be too large, had the host not most of it.
    bench.ship(&bench.plan("bbbbbb", &shares)).await.unwrap();

    bench.host.exec(&["sh", "-c", "tar -cC /etc hostname | docker import -"]).unwrap();
    let failure = bench.ship(&bench.plan("cccccc", &large)).await.unwrap_err();
    assert!(failure.message.contains("left in /var/lib/docker") && !failure.retry, "{failure:?}");
    assert!(failure.message.contains("needs 369.1 MB there"), "{failure:?}");
    let hint = failure.hint.unwrap();
    assert!(hint.contains("`docker image prune` frees up to"), "{hint}");
    assert!(hint.contains("2 images of production/hello take up to"), "{hint}");
    assert!(!bench.images().contains(large.short()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_run_as_root_is_refused_where_nothing_may() {
    let bench = Bench::up("ship-root").await;
    let app = application();
    for (number, user) in ["", "root", "0:1000", ":1000", "+0", "app"].into_iter().enumerate() {
        let digest = image_of(&bench.store, &[&app], user).await;
        let mut plan = bench.plan(&format!("aaaaa{number}"), &digest);
        plan.release.settings.container.non_root = true;
        let failure = bench.ship(&plan).await.unwrap_err();
        assert!(failure.message.contains("policy.require_non_root") && !failure.retry, "{failure:?}");
        assert!(failure.hint.is_some() && !bench.images().contains(digest.short()), "{failure:?}");

        // It may with another user, and where the policy isn't there.
        plan.release.settings.container.user = Some("65532".to_owned());
        bench.ship(&plan).await.unwrap();
        plan.release.settings.container = Container::default();
        bench.ship(&plan).await.unwrap();
        plan.release.settings.container.non_root = true;
        bench.ship(&plan).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_ship_is_brought_to_its_end_by_the_next() {
    interruption(&Bench::up("ship-cut").await).await;
}

/// The connection is lost when the host has the first layer of four.
pub async fn interruption(bench: &Bench) {
    let layers: Vec<Vec<u8>> = (1..=4).map(|seed| payload(seed, LAYER)).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let digest = image(&bench.store, &layers).await;
    let plan = bench.plan("aaaaaa", &digest);
    let kept = || bench.docker(&["images", "--quiet", "--filter", "label=cutover.beginning"]);

    // Slow enough that the first layer is there long before the last.
    Link::of(&bench.host).unwrap().limit("100mbit").unwrap();
    let some = async {
        while kept().is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        sent = bench.ship(&plan) => panic!("it came to its end before it was cut, after {sent:?}"),
        () = some => {}
    }
    bench.machine.host().close().await;

    // As a worker does: what may go better is tried again.
    let again = async {
        loop {
            match bench.ship(&plan).await {
                Ok(sent) => break sent,
                Err(failure) => assert!(failure.retry, "{failure:?}"),
            }
        }
    };
    let sent = timeout(Duration::from_secs(60), again).await.unwrap();
    let most = 3 * LAYER as u64 + OVERHEAD;
    assert!((1..=most).contains(&sent), "{sent}: a layer that the host had was sent again");
    assert_eq!(bench.ship(&plan).await.unwrap(), 0);
    let images = bench.images();
    assert!(!images.contains("127.0.0.1"), "the name of a pull was left behind: {images}");
    assert_eq!(kept(), "", "what was kept of the first try was left behind");
}
