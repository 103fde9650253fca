//! The collector of garbage on a real store.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use cutover_builder::{Collector, Error};
use cutover_core::{Digest, Needed};
use cutover_model::{Chunk, Manifest, ModelFile, Sum};
use cutover_store::{Removed, Store};
use cutover_telemetry::Metrics;
use tempfile::TempDir;

/// A store, and its collector.
struct Scene {
    _folder: TempDir,
    store: Store,
    metrics: Metrics,
    collector: Collector,
}

impl Scene {
    async fn set() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let metrics = Metrics::new().unwrap();
        let collector = Collector::new(store.clone(), &metrics).unwrap();
        Self { _folder: folder, store, metrics, collector }
    }

    async fn put(&self, content: &str) -> Digest {
        self.store.put_bytes(content.as_bytes()).await.unwrap()
    }

    /// An image of one layer; answers with its manifest and all that belongs to it.
    async fn image(&self, name: &str) -> (Digest, BTreeSet<Digest>) {
        let (config, layer) = (format!("config of {name}"), format!("layer of {name}"));
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            descriptor("application/vnd.oci.image.config.v1+json", &config),
            descriptor("application/vnd.oci.image.layer.v1.tar", &layer),
        );
        let parts = [self.put(&config).await, self.put(&layer).await, self.put(&manifest).await];
        (parts[2].clone(), parts.into())
    }

    async fn stored(&self) -> BTreeSet<Digest> {
        self.store.list().await.unwrap().into_iter().map(|entry| entry.digest).collect()
    }

    fn freed(&self) -> f64 {
        let gathered = self.metrics.registry().gather();
        let counter = gathered.iter().find(|family| family.name() == "cutover_store_freed_bytes_total");
        counter.unwrap().get_metric()[0].get_counter().get_value()
    }
}

fn descriptor(media_type: &str, content: &str) -> String {
    let (digest, size) = (Digest::of(content.as_bytes()), content.len());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

/// All that is stored now is older.
fn tomorrow() -> SystemTime {
    SystemTime::now() + Duration::from_hours(24)
}

#[tokio::test]
async fn what_is_needed_stays_whole_and_the_rest_goes() {
    let scene = Scene::set().await;
    let (kept, kept_parts) = scene.image("kept").await;
    let (child, child_parts) = scene.image("child").await;
    scene.image("gone").await;
    // An index of an image that is here, and of one for a platform that nobody has sent.
    let children = [&child, &Digest::of(b"never sent")].map(|digest| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":7}}"#
        )
    });
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
        children.join(",")
    );
    let index = scene.put(&index).await;
    let context = scene.put("a context").await;
    scene.put("an old context").await;

    let before = scene.stored().await;
    let never_stored = Digest::of(b"an image that was never stored");
    let needed = Needed {
        images: [kept, index.clone(), never_stored].into(),
        files: [context.clone()].into(),
        ..Needed::default()
    };
    let day_ago = SystemTime::now() - Duration::from_hours(24);
    assert_eq!(scene.collector.collect(needed.clone(), day_ago).await.unwrap(), Removed::default());
    assert_eq!(scene.stored().await, before, "all of it is young");

    let removed = scene.collector.collect(needed, tomorrow()).await.unwrap();
    assert_eq!(removed.count, 4, "the image that is gone, in three parts, and the context");
    let rest: BTreeSet<Digest> = kept_parts.into_iter().chain(child_parts).chain([index, context]).collect();
    assert_eq!(scene.stored().await, rest);
    assert_eq!(scene.freed(), removed.bytes as f64);
}

#[tokio::test]
async fn a_model_stays_with_all_its_chunks() {
    let scene = Scene::set().await;
    let chunk = |content: &str| Chunk { sha256: Sum::of(content.as_bytes()), size: content.len() as u32 };
    let file = |path: &str, content: &str| ModelFile {
        path: path.to_owned(),
        size: content.len() as u64,
        sha256: Sum::of(content.as_bytes()),
        chunks: vec![chunk(content)],
    };
    let mut kept = BTreeSet::new();
    for content in ["weights", "words"] {
        kept.insert(scene.put(content).await);
    }
    let manifest = Manifest::new(vec![file("a", "weights"), file("b", "words")]).unwrap().to_bytes().unwrap();
    let version = scene.put(std::str::from_utf8(&manifest).unwrap()).await;
    kept.insert(version.clone());
    scene.put("a chunk that changed").await;
    let absent = Digest::of(b"a model that was never stored");
    let needed = Needed { models: [version, absent].into(), ..Needed::default() };
    let removed = scene.collector.collect(needed, tomorrow()).await.unwrap();
    assert_eq!((removed.count, scene.stored().await), (1, kept));
    let broken = Needed { models: [scene.put("no manifest").await].into(), ..Needed::default() };
    assert!(matches!(scene.collector.collect(broken, tomorrow()).await, Err(Error::NotAModel { .. })));
}

#[tokio::test]
async fn nothing_is_removed_while_an_image_can_not_be_read() {
    let scene = Scene::set().await;
    let broken = scene.put("no manifest").await;
    scene.put("garbage").await;
    let needed = Needed { images: [broken].into(), ..Needed::default() };
    let error = scene.collector.collect(needed, tomorrow()).await.unwrap_err();
    assert!(error.to_string().contains("is no image manifest"), "{error}");
    assert_eq!(scene.stored().await.len(), 2);
}
