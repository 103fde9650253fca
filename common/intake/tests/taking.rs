//! Files become chunks in the store, and what is there already is not stored again.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cutover_intake::{Error, Origin, Taken, renew};
use cutover_model::{Cut, Manifest, Sum};
use cutover_store::{Digest, Store};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// Takes in what is at a path.
async fn take_in(path: &Path, store: Option<&Store>) -> Result<Taken, Error> {
    let origin = Origin::Folder(path.to_owned());
    origin.take_in(origin.look().await?, store, |_| ()).await
}

async fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (folder, store)
}

#[tokio::test]
async fn what_is_put_together_from_the_chunks_is_the_model() {
    let ((kept, store), folder) = (store().await, TempDir::new().unwrap());
    let weights = random(1, 9 * MIB + 17);
    fs::create_dir(folder.path().join("onnx")).unwrap();
    fs::write(folder.path().join("onnx/model.bin"), &weights).unwrap();
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    symlink("config.json", folder.path().join("same.json")).unwrap();
    let taken = take_in(folder.path(), Some(&store)).await.unwrap();
    assert_eq!((taken.size, taken.new), (weights.len() as u64 + 4, weights.len() as u64 + 2));

    let bytes = store.get_bytes(&taken.version, 1 << 20).await.unwrap();
    let manifest = Manifest::parse(&bytes).unwrap();
    let names: Vec<&str> = manifest.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["config.json", "empty", "onnx/model.bin", "same.json"]);
    let file = &manifest.files()[2];
    let mut whole = Vec::new();
    for (number, chunk) in file.chunks.iter().enumerate() {
        let size = chunk.size as usize;
        assert!(size <= Cut::MODELS.max && (size >= Cut::MODELS.min || number + 1 == file.chunks.len()));
        whole.extend(
            store.get_bytes(&format!("sha256:{}", chunk.sha256).parse().unwrap(), 4 << 20).await.unwrap(),
        );
    }
    assert!(whole == weights);
    assert_eq!(file.sha256, Sum::of(&weights));

    let again = take_in(folder.path(), Some(&store)).await.unwrap();
    assert_eq!((again.version, again.new), (taken.version.clone(), 0));
    assert_eq!(take_in(folder.path(), None).await.unwrap().version, taken.version);

    assert!(renew(&store, &taken.version).await.unwrap());
    assert!(!renew(&store, &Digest::of(b"never taken in")).await.unwrap());
    let chunk = file.chunks[1].sha256.to_string();
    fs::remove_file(kept.path().join("blobs/sha256").join(chunk)).unwrap();
    assert!(!renew(&store, &taken.version).await.unwrap());
}

#[tokio::test]
async fn what_is_damaged_in_the_store_is_stored_anew() {
    let ((kept, store), folder) = (store().await, TempDir::new().unwrap());
    let weights = random(4, 3 * MIB);
    fs::write(folder.path().join("model.bin"), &weights).unwrap();
    let taken = take_in(folder.path(), Some(&store)).await.unwrap();
    let bytes = store.get_bytes(&taken.version, 1 << 20).await.unwrap();
    let chunk = Manifest::parse(&bytes).unwrap().files()[0].chunks[0];
    let blob = |name: &str| kept.path().join("blobs/sha256").join(name);

    fs::write(blob(&chunk.sha256.to_string()), "short").unwrap();
    assert!(!renew(&store, &taken.version).await.unwrap());
    let again = take_in(folder.path(), Some(&store)).await.unwrap();
    assert_eq!((again.version, again.new), (taken.version.clone(), u64::from(chunk.size)));
    assert!(renew(&store, &taken.version).await.unwrap());

    fs::write(blob(taken.version.hex()), "no manifest").unwrap();
    assert!(!renew(&store, &taken.version).await.unwrap());
    take_in(folder.path(), Some(&store)).await.unwrap();
    assert!(renew(&store, &taken.version).await.unwrap());
}

/// The promise is for a gigabyte: its last 10 MB cost at most 15 MB. What is before them is not looked at here, but is the same.
#[tokio::test]
async fn a_part_that_has_changed_costs_little_more_than_itself() {
    let ((_kept, store), folder) = (store().await, TempDir::new().unwrap());
    let file = folder.path().join("model.bin");
    let before = random(2, 64 * MIB);
    fs::write(&file, &before).unwrap();
    take_in(&file, Some(&store)).await.unwrap();

    let (kept, changed) = (before.len() - 10_000_000, random(3, 10_000_000));
    fs::write(&file, [&before[..kept], &changed].concat()).unwrap();
    let taken = take_in(&file, Some(&store)).await.unwrap();
    assert!((10_000_000..=10_000_000 + 4 * MIB as u64).contains(&taken.new), "{}", taken.new);

    // What is put in moves all that comes after it.
    fs::write(&file, [&before[..MIB], &changed[..100], &before[MIB..]].concat()).unwrap();
    let taken = take_in(&file, Some(&store)).await.unwrap();
    assert!((100..=8 * MIB as u64).contains(&taken.new), "{}", taken.new);
}

#[tokio::test]
async fn what_is_no_model_is_said_with_its_place() {
    let ((_kept, store), folder) = (store().await, TempDir::new().unwrap());
    let absent = folder.path().join("absent");
    let error = take_in(&absent, Some(&store)).await.unwrap_err();
    assert!(error.to_string().contains(&absent.display().to_string()) && !error.retryable(), "{error}");
    let error = take_in(folder.path(), Some(&store)).await.unwrap_err();
    assert!(matches!(error, Error::Manifest { source: cutover_model::Error::Empty, .. }), "{error}");
    symlink(".", folder.path().join("again")).unwrap();
    let error = take_in(folder.path(), Some(&store)).await.unwrap_err();
    assert!(matches!(error, Error::Deep { .. } | Error::Read { .. }), "{error}");
}
