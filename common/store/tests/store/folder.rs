//! The folder store against a real file system.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use cutover_store::{Digest, Error, Store};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

async fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (folder, store)
}

fn file_of(folder: &TempDir, digest: &Digest) -> PathBuf {
    folder.path().join("blobs/sha256").join(digest.hex())
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

async fn read(mut content: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn what_is_put_can_be_had_by_its_digest() {
    let (folder, store) = store().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let stored = store.put(content.as_slice(), None).await.unwrap();
    assert_eq!(stored.digest, Digest::of(&content));
    assert_eq!(stored.size, 3_000_000);
    assert_eq!(store.len(&stored.digest).await.unwrap(), Some(3_000_000));
    assert_eq!(read(store.get(&stored.digest).await.unwrap()).await, content);
    assert_eq!(store.get_bytes(&stored.digest, 3_000_000).await.unwrap(), content);
    store.verify(&stored.digest).await.unwrap();
    assert_eq!(files_in(&folder.path().join("incoming")), 0);
}

#[tokio::test]
async fn a_part_can_be_had_alone() {
    let (_folder, store) = store().await;
    let digest = store.put_bytes(b"0123456789").await.unwrap();
    let part = store.get_range(&digest, 3..7).await.unwrap();
    assert_eq!(part.size(), 4);
    assert_eq!(read(part).await, b"3456");
    assert_eq!(read(store.get_range(&digest, 10..10).await.unwrap()).await, b"");
    assert!(matches!(store.get_range(&digest, 3..11).await, Err(Error::OutOfRange { size: 10, .. })));
}

#[tokio::test]
async fn other_content_than_announced_is_not_stored() {
    let (folder, store) = store().await;
    let announced = Digest::of(b"what was announced");
    let refused = store.put(&b"something else"[..], Some(&announced)).await.unwrap_err();
    assert!(matches!(&refused, Error::Mismatch { expected, size: 14, .. } if *expected == announced));
    assert!(refused.retryable());
    assert!(!store.contains(&announced).await.unwrap());
    assert_eq!(files_in(&folder.path().join("blobs/sha256")), 0);
    assert_eq!(files_in(&folder.path().join("incoming")), 0);
}

#[tokio::test]
async fn a_source_that_breaks_off_leaves_nothing() {
    let (folder, store) = store().await;
    let broken = b"four".chain(Reset);
    assert!(matches!(store.put(broken, None).await, Err(Error::Source { received: 4, .. })));
    assert_eq!(files_in(&folder.path().join("incoming")), 0);
}

/// A sender whose connection was reset.
struct Reset;

impl AsyncRead for Reset {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

#[tokio::test]
async fn absent_content_is_named() {
    let (folder, store) = store().await;
    let digest = Digest::of(b"never stored");
    let error = store.get(&digest).await.unwrap_err();
    assert!(!error.retryable());
    let message = error.to_string();
    assert!(message.contains(digest.as_str()), "{message}");
    assert!(message.contains(file_of(&folder, &digest).to_str().unwrap()), "{message}");
    assert_eq!(store.len(&digest).await.unwrap(), None);
}

#[tokio::test]
async fn corrupt_content_is_seen_and_mended_by_storing_it_again() {
    let (folder, store) = store().await;
    let digest = store.put_bytes(b"as it was").await.unwrap();
    std::fs::write(file_of(&folder, &digest), b"bit rot").unwrap();
    assert!(matches!(store.get_bytes(&digest, 100).await, Err(Error::Corrupt { .. })));
    assert!(matches!(store.verify(&digest).await, Err(Error::Corrupt { .. })));
    store.put_bytes(b"as it was").await.unwrap();
    store.verify(&digest).await.unwrap();
}

#[tokio::test]
async fn more_than_the_limit_is_not_read_into_memory() {
    let (_folder, store) = store().await;
    let digest = store.put_bytes(b"eleven byte").await.unwrap();
    assert!(matches!(store.get_bytes(&digest, 10).await, Err(Error::TooLarge { size: 11, limit: 10, .. })));
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_and_a_dropped_one_vanishes() {
    let (folder, store) = store().await;
    let mut upload = store.upload().await.unwrap();
    upload.write(b"first ").await.unwrap();
    assert_eq!(upload.size(), 6);
    upload.write(b"second").await.unwrap();
    let stored = upload.finish(Some(&Digest::of(b"first second"))).await.unwrap();
    assert_eq!(stored.size, 12);

    let mut dropped = store.upload().await.unwrap();
    dropped.write(b"half").await.unwrap();
    assert_eq!(files_in(&folder.path().join("incoming")), 1);
    drop(dropped);
    assert_eq!(files_in(&folder.path().join("incoming")), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_of_the_same_content_do_no_harm() {
    let (folder, store) = store().await;
    let content = vec![7_u8; 500_000];
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, content) = (store.clone(), content.clone());
        writers.spawn(async move { store.put(content.as_slice(), None).await.unwrap().digest });
    }
    let digests = writers.join_all().await;
    assert!(digests.iter().all(|digest| *digest == Digest::of(&content)));
    assert_eq!(files_in(&folder.path().join("blobs/sha256")), 1);
    store.verify(&digests[0]).await.unwrap();
}

#[tokio::test]
async fn uploads_of_killed_programs_are_removed_after_a_day() {
    let (folder, _store) = store().await;
    let (old, young) = (folder.path().join("incoming/old"), folder.path().join("incoming/young"));
    std::fs::write(&young, b"another process writes here").unwrap();
    let file = std::fs::File::create(&old).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(25 * 60 * 60)).unwrap();
    Store::open(folder.path()).await.unwrap();
    assert!(young.exists() && !old.exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, b"").unwrap();
    let error = Store::open(&file).await.unwrap_err();
    assert!(error.to_string().contains("a-file"), "{error}");
}
