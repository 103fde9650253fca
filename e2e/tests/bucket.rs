//! Whole deployments whose artifacts lie in a bucket, and what its garbage is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, SystemTime};

use cutover_builder::Collector;
use cutover_core::Needed;
use cutover_e2e::{App, ControlPlane, Host, ObjectStore, Project};
use cutover_registry::is_whole;
use cutover_store::{Location, Store};
use support::{Expect, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_through_a_bucket_and_what_it_needs_is_no_garbage() {
    let objects = ObjectStore::start().unwrap();
    let host = Host::up(&format!("bucket-{}", std::process::id())).unwrap();
    let plane = ControlPlane::up_with_store(&[&host], &objects.location()).unwrap();
    let scene = Scene { project: Project::new().unwrap(), plane, host, others: Vec::new() };
    scene.project.write(&scene.app("v1")).unwrap();
    scene.cutover(&["setup"]).succeeded();
    // Longer than one part of an upload.
    scene.deploy(&App { payload: 20, ..scene.app("v1") }).succeeded();
    scene.serves("v1").await;
    // Another context: the deploy file is no part of it.
    std::fs::write(scene.project.folder().join("note"), "v2").unwrap();
    scene.deploy(&App { payload: 20, ..scene.app("v2") }).succeeded();
    scene.serves("v2").await;

    let store = Store::open(&objects.location().parse::<Location>().unwrap()).await.unwrap();
    let journal = scene.plane.journal().await.unwrap();
    let log = journal.service(&ControlPlane::key().unwrap()).await.unwrap();
    let images: Vec<_> = log.service().kept.iter().map(|kept| kept.image.clone()).collect();
    assert_eq!(images.len(), 2);
    let left_over = store.put_bytes(b"left over").await.unwrap();
    let mut needed = Needed::default();
    needed.add(log.service());
    let collector = Collector::new(store.clone(), &cutover_telemetry::Metrics::new().unwrap()).unwrap();
    // As if all of it was old.
    let tomorrow = SystemTime::now() + Duration::from_hours(24);
    let removed = collector.collect(needed, tomorrow).await.unwrap();
    assert_eq!(removed.count, 2, "what was left over, and the context of the first release");
    assert!(!store.contains(&left_over).await.unwrap());
    for image in images {
        assert!(is_whole(&store, &image).await.unwrap());
    }
    for entry in store.list().await.unwrap() {
        store.verify(&entry.digest).await.unwrap();
    }
    scene.cutover(&["rollback"]).succeeded();
    scene.serves("v1").await;
}
