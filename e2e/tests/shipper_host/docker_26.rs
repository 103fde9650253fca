//! The same on a newer Docker Engine, with its own image store and with containerd's.

use crate::bench::Bench;
use crate::image::{application, image, payload};
use crate::{registry, ship};

#[tokio::test(flavor = "multi_thread")]
async fn docker_26_is_shipped_to() {
    Box::pin(everything("docker-26", false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_26_with_the_containerd_store_is_shipped_to() {
    Box::pin(everything("docker-26-containerd", true)).await;
}

async fn everything(test: &str, containerd_store: bool) {
    let bench = Bench::up_with_docker_26(test, containerd_store).await;
    let store = bench.docker(&["info", "--format", "{{.ServerVersion}} {{.DriverStatus}}"]);
    assert!(store.starts_with("26."), "{store}");
    assert_eq!(store.contains("io.containerd.snapshotter"), containerd_store, "{store}");

    Box::pin(registry::through_a_registry(&bench)).await;
    ship::small_changes(&bench).await;
    ship::interruption(&bench).await;

    let app = application();
    let mut plans = Vec::new();
    for (seed, end) in [(7, "dddddd"), (8, "eeeeee")] {
        plans.push(bench.plan(end, &image(&bench.store, &[&app, &payload(seed, 1000)]).await));
    }
    let [old, new] = <[_; 2]>::try_from(plans).unwrap();
    bench.start_proxy().await;
    for (plan, claim) in [(&old, 1), (&new, 3)] {
        bench.ship(plan).await.unwrap();
        let replicas = bench.boot(plan, claim).await.unwrap();
        for replica in &replicas {
            bench.ready(replica.address).await;
        }
        bench.switch(plan, claim + 1, &replicas).await;
    }
    let kept = new.image.as_ref().unwrap();
    assert_eq!(bench.retire(&new, 5, &[kept]).await.unwrap(), 2);
    let images = bench.images();
    let name = |plan: &cutover_core::Plan| plan.image.as_ref().unwrap().short().to_owned();
    // All others are pruned; the old one was in use until the moment before, and goes the next time.
    let only = images.lines().count() == 2 && [&new, &old].iter().all(|plan| images.contains(&name(plan)));
    assert!(only, "{images}");
}
