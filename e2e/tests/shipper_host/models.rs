//! What a host lacks of a model, and nothing else; and where the replicas find it.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;

use cutover_core::{Digest, Failure, Model, Plan, Progress};
use cutover_intake::Origin;
use cutover_registry::Pace;
use cutover_shipper::models::{bring, prune};
use tempfile::TempDir;
use tokio::time::{Duration, timeout};

use crate::bench::{Bench, key};
use crate::image::{application, image};

const MIB: usize = 1 << 20;
/// The folder of the service's models on every host.
const FOLDER: &str = "/var/lib/cutover/models/production/hello";

/// Files of a model that can be changed.
struct Files {
    folder: TempDir,
    weights: Vec<u8>,
}

impl Files {
    fn new(length: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let weights = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        let files = Self { folder: TempDir::new().unwrap(), weights };
        fs::create_dir(files.folder.path().join("onnx")).unwrap();
        fs::write(files.folder.path().join("words.txt"), "one two three").unwrap();
        files
    }

    /// Takes them into the store as they are.
    async fn take_in(&self, bench: &Bench) -> Digest {
        fs::write(self.folder.path().join("onnx/weights.bin"), &self.weights).unwrap();
        let origin = Origin::Folder(self.folder.path().to_owned());
        origin.take_in(origin.look().await.unwrap(), Some(&bench.store), |_| ()).await.unwrap().version
    }
}

fn model(version: &Digest) -> Model {
    Model {
        name: "minilm".parse().unwrap(),
        version: version.clone(),
        mount: "/models/minilm".to_owned(),
        seen: None,
    }
}

/// A deployment with this version of the model.
fn plan(bench: &Bench, end: &str, image: &Digest, version: &Digest) -> Plan {
    let mut plan = bench.plan(end, image);
    plan.release.settings.models = vec![model(version)];
    plan
}

async fn send(bench: &Bench, plan: &Plan) -> Result<u64, Failure> {
    Ok(bring(&bench.machine, (&bench.store, &Pace::default()), plan, &bench.progress).await?)
}

fn file(version: &Digest, name: &str) -> String {
    format!("{FOLDER}/minilm/{}/{name}", version.hex())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_chunks_that_a_host_lacks_are_sent() {
    let bench = Bench::up("model").await;
    bench.host.put_helper().unwrap();
    let mut files = Files::new(12 * MIB);
    let (image, first) = (Digest::of(b"image"), files.take_in(&bench).await);
    let old = plan(&bench, "aaaaaa", &image, &first);
    assert_eq!(send(&bench, &old).await.unwrap(), 12 * MIB as u64 + 13);
    assert_eq!(send(&bench, &old).await.unwrap(), 0);

    let end = files.weights.len() - 1000;
    files.weights[end..].fill(0);
    let second = files.take_in(&bench).await;
    let new = plan(&bench, "bbbbbb", &image, &second);
    let sent = send(&bench, &new).await.unwrap();
    assert!((1000..=4 * MIB as u64).contains(&sent), "{sent}");
    // What comes to the host is what was taken in.
    let sum = |version: &Digest| bench.host.exec(&["sha256sum", &file(version, "onnx/weights.bin")]).unwrap();
    assert!(sum(&second).starts_with(Digest::of(&files.weights).hex()));
    assert!(!sum(&first).starts_with(Digest::of(&files.weights).hex()));
    let modes = ["", "onnx", "onnx/weights.bin", "words.txt"].map(|name| file(&second, name));
    let modes: Vec<&str> =
        ["stat", "--format", "%a"].into_iter().chain(modes.iter().map(String::as_str)).collect();
    assert_eq!(bench.host.exec(&modes).unwrap(), "555\n555\n444\n444\n");
    // A file that is the same is there once.
    let words = [file(&first, "words.txt"), file(&second, "words.txt")];
    let same = bench.host.exec(&["stat", "--format", "%i %h", &words[0], &words[1]]).unwrap();
    let lines: Vec<&str> = same.lines().collect();
    assert!(lines[0] == lines[1] && lines[0].ends_with(" 2"), "{same}");

    // No container is left, and what no release needs goes.
    assert_eq!(bench.containers(), ["cutover-proxy"]);
    assert_eq!(prune(&bench.machine, &key(), &[&model(&first), &model(&second)]).await.unwrap(), 0);
    assert_eq!(prune(&bench.machine, &key(), &[&model(&second)]).await.unwrap(), 1);
    let left = bench.host.exec(&["ls", &format!("{FOLDER}/minilm")]).unwrap();
    assert_eq!(left.trim(), format!("{0}\n{0}.json", second.hex()));
    assert!(sum(&second).starts_with(Digest::of(&files.weights).hex()));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_find_the_version_and_can_not_change_it() {
    let bench = Bench::up("model-mount").await;
    bench.host.put_helper().unwrap();
    let files = Files::new(MIB);
    let (image, version) = (image(&bench.store, &[&application()]).await, files.take_in(&bench).await);
    let plan = plan(&bench, "aaaaaa", &image, &version);
    bench.ship(&plan).await.unwrap();
    // A version that isn't there is not made up.
    let failure = bench.boot(&plan, 1).await.unwrap_err();
    assert!(failure.message.contains("a version of a model that hello-production-aaaaaa"), "{failure:?}");
    assert!(!failure.retry && failure.hint.unwrap().contains("--from ship"));

    send(&bench, &plan).await.unwrap();
    let replicas = bench.boot(&plan, 2).await.unwrap();
    let mounts = bench.docker(&[
        "inspect",
        "--format",
        "{{range .Mounts}}{{.Source}} {{.Destination}} {{.RW}}{{end}}",
        &replicas[0].name,
    ]);
    assert_eq!(mounts, format!("{} /models/minilm false", file(&version, "").trim_end_matches('/')));
    // What a container has mounted stays, whatever the journal says.
    assert_eq!(prune(&bench.machine, &key(), &[]).await.unwrap(), 0);
    assert!(Path::new(&file(&version, "")).is_absolute());
    bench.host.exec(&["test", "-s", &file(&version, "onnx/weights.bin")]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_interrupted_is_gone_on_with() {
    let bench = Bench::up("model-cut").await;
    bench.host.put_helper().unwrap();
    let files = Files::new(24 * MIB);
    let version = files.take_in(&bench).await;
    let plan = plan(&bench, "aaaaaa", &Digest::of(b"image"), &version);
    let pace = Pace::new(NonZeroU64::new(8_000_000));
    let mut told = bench.progress.subscribe();
    let halfway = async {
        let is_half =
            |progress: &Progress| matches!(progress, Progress::Bytes { done, total } if *done > total / 2);
        timeout(Duration::from_secs(60), told.wait_for(is_half)).await.unwrap().unwrap();
        bench.docker(&["kill", "cutover-models-production.hello"]);
    };
    let sending = bring(&bench.machine, (&bench.store, &pace), &plan, &bench.progress);
    let (ended, ()) = tokio::join!(sending, halfway);
    let failure = Failure::from(ended.unwrap_err());
    assert!(failure.retry && failure.message.contains("broke"), "{failure:?}");

    // Half of it is there, less what was on its way.
    let sent = send(&bench, &plan).await.unwrap();
    assert!(sent < 16 * MIB as u64, "{sent}");
    let sum = bench.host.exec(&["sha256sum", &file(&version, "onnx/weights.bin")]).unwrap();
    assert!(sum.starts_with(Digest::of(&files.weights).hex()));
    assert_eq!(bench.containers(), ["cutover-proxy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_said() {
    let bench = Bench::up("model-fails").await;
    let files = Files::new(4 * MIB);
    let version = files.take_in(&bench).await;
    let plan = plan(&bench, "aaaaaa", &Digest::of(b"image"), &version);
    let failure = send(&bench, &plan).await.unwrap_err();
    assert!(failure.message.contains("no proxy's container"), "{failure:?}");
    bench.host.put_helper().unwrap();

    bench.host.exec(&["mkdir", "-p", "/var/lib/cutover/models"]).unwrap();
    bench
        .host
        .exec(&["mount", "-t", "tmpfs", "-o", "size=258m", "models", "/var/lib/cutover/models"])
        .unwrap();
    let failure = send(&bench, &plan).await.unwrap_err();
    assert!(
        failure.message.contains("left in /var/lib/cutover/models, and model minilm needs"),
        "{failure:?}"
    );
    assert!(!failure.retry && failure.hint.unwrap().contains("retain"));
    bench.host.exec(&["umount", "/var/lib/cutover/models"]).unwrap();

    // A chunk that has rotted in the store is no part of any model.
    let chunk =
        cutover_model::Manifest::parse(&bench.store.get_bytes(&version, 1 << 20).await.unwrap()).unwrap();
    let chunk = chunk.chunks()[1];
    let blob = bench.store_folder().join("blobs/sha256").join(chunk.sha256.to_string());
    fs::write(&blob, vec![0; chunk.size as usize]).unwrap();
    let failure = send(&bench, &plan).await.unwrap_err();
    assert!(failure.message.contains("is corrupt: it should hold") && !failure.retry, "{failure:?}");
    let there = bench.host.exec(&["ls", &format!("{FOLDER}/minilm")]).unwrap();
    assert_eq!(there.trim(), format!("{}.part", version.hex()));

    // It is gone from there, so that it is stored again.
    assert!(!blob.exists());
    let failure = send(&bench, &plan).await.unwrap_err();
    assert!(failure.message.contains("the artifact store has no sha256:") && !failure.retry, "{failure:?}");
    files.take_in(&bench).await;
    send(&bench, &plan).await.unwrap();
    assert_eq!(bench.containers(), ["cutover-proxy"]);
}
