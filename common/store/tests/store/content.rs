//! What is true of content wherever it is stored.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use cutover_store::{Digest, Error};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::task::JoinSet;

use crate::place::{Place, content, in_both_places};

in_both_places!(
    what_is_put_can_be_had_by_its_digest,
    nothing_is_content_too,
    a_part_can_be_had_alone,
    other_content_than_announced_is_not_stored,
    a_source_that_breaks_off_leaves_nothing,
    absent_content_is_named,
    corrupt_content_is_seen_and_mended_by_storing_it_again,
    more_than_the_limit_is_not_read_into_memory,
    an_upload_goes_on_where_it_was_and_a_dropped_one_vanishes,
    concurrent_writers_of_the_same_content_do_no_harm,
);

/// In a bucket, it goes in three parts, and is copied in three.
const LONG: usize = 12 << 20;

async fn read(mut content: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).await.unwrap();
    bytes
}

async fn what_is_put_can_be_had_by_its_digest(place: Place) {
    let store = &place.store;
    for length in [1, 3_000_000, 5 << 20, LONG] {
        let content = content(length);
        let stored = store.put(content.as_slice(), Some(&Digest::of(&content))).await.unwrap();
        assert_eq!((&stored.digest, stored.size), (&Digest::of(&content), length as u64));
        assert_eq!(store.len(&stored.digest).await.unwrap(), Some(length as u64));
        assert!(read(store.get(&stored.digest).await.unwrap()).await == content, "{length}");
        assert!(store.get_bytes(&stored.digest, length as u64).await.unwrap() == content, "{length}");
        store.verify(&stored.digest).await.unwrap();
    }
    assert_eq!(place.count("incoming").await, 0);
    assert_eq!(store.list().await.unwrap().len(), 4);
}

async fn nothing_is_content_too(place: Place) {
    let digest = place.store.put_bytes(b"").await.unwrap();
    assert_eq!(place.store.len(&digest).await.unwrap(), Some(0));
    assert!(place.store.get_bytes(&digest, 0).await.unwrap().is_empty());
    assert!(read(place.store.get(&digest).await.unwrap()).await.is_empty());
}

async fn a_part_can_be_had_alone(place: Place) {
    let store = &place.store;
    let digest = store.put_bytes(b"0123456789").await.unwrap();
    let part = store.get_range(&digest, 3..7).await.unwrap();
    assert_eq!(part.size(), 4);
    assert_eq!(read(part).await, b"3456");
    assert_eq!(read(store.get_range(&digest, 10..10).await.unwrap()).await, b"");
    assert!(matches!(store.get_range(&digest, 3..11).await, Err(Error::OutOfRange { size: 10, .. })));
}

async fn other_content_than_announced_is_not_stored(place: Place) {
    let store = &place.store;
    let announced = Digest::of(b"what was announced");
    let refused = store.put(&b"something else"[..], Some(&announced)).await.unwrap_err();
    assert!(matches!(&refused, Error::Mismatch { expected, size: 14, .. } if *expected == announced));
    assert!(refused.retryable());
    let long = content(LONG);
    assert!(matches!(store.put(long.as_slice(), Some(&announced)).await, Err(Error::Mismatch { .. })));
    assert!(!store.contains(&announced).await.unwrap());
    assert_eq!(store.list().await.unwrap(), []);
    place.nothing_comes_in().await;
}

async fn a_source_that_breaks_off_leaves_nothing(place: Place) {
    for length in [4, LONG] {
        let content = content(length);
        let broken = content.chain(Reset);
        let failed = place.store.put(broken, None).await;
        assert!(matches!(failed, Err(Error::Source { received, .. }) if received == length as u64));
    }
    place.nothing_comes_in().await;
    assert_eq!(place.store.list().await.unwrap(), []);
}

/// A sender whose connection was reset.
struct Reset;

impl AsyncRead for Reset {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

async fn absent_content_is_named(place: Place) {
    let digest = Digest::of(b"never stored");
    for error in [
        place.store.get(&digest).await.map(drop).unwrap_err(),
        place.store.get_range(&digest, 0..1).await.map(drop).unwrap_err(),
        place.store.get_bytes(&digest, 10).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { .. }) && !error.retryable());
        let message = error.to_string();
        assert!(message.contains(digest.as_str()), "{message}");
        assert!(message.contains(&place.place_of(&digest)), "{message}");
    }
    assert_eq!(place.store.len(&digest).await.unwrap(), None);
    assert_eq!(place.store.renew(&digest).await.unwrap(), None);
}

async fn corrupt_content_is_seen_and_mended_by_storing_it_again(place: Place) {
    let store = &place.store;
    let digest = store.put_bytes(b"as it was").await.unwrap();
    place.corrupt(&digest, b"bit rots!").await;
    let error = store.get_bytes(&digest, 100).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains(&place.place_of(&digest)));
    assert!(matches!(store.verify(&digest).await, Err(Error::Corrupt { .. })));
    // Who reads it as a stream does not come to the end either, and is not given all of it.
    let mut read = Vec::new();
    let error = store.get(&digest).await.unwrap().read_to_end(&mut read).await.unwrap_err();
    assert!(error.to_string().contains("is corrupt"), "{error}");
    assert!(read.len() < 9);
    store.put_bytes(b"as it was").await.unwrap();
    store.verify(&digest).await.unwrap();
}

async fn more_than_the_limit_is_not_read_into_memory(place: Place) {
    let digest = place.store.put_bytes(b"eleven byte").await.unwrap();
    let refused = place.store.get_bytes(&digest, 10).await;
    assert!(matches!(refused, Err(Error::TooLarge { size: 11, limit: 10, .. })));
}

async fn an_upload_goes_on_where_it_was_and_a_dropped_one_vanishes(place: Place) {
    let mut upload = place.store.upload().await.unwrap();
    upload.write(b"first ").await.unwrap();
    assert_eq!(upload.size(), 6);
    upload.write(b"second").await.unwrap();
    let stored = upload.finish(Some(&Digest::of(b"first second"))).await.unwrap();
    assert_eq!(stored.size, 12);

    let mut dropped = place.store.upload().await.unwrap();
    dropped.write(&content(LONG)).await.unwrap();
    assert_eq!(place.count("incoming").await, 1);
    drop(dropped);
    place.nothing_comes_in().await;
}

async fn concurrent_writers_of_the_same_content_do_no_harm(place: Place) {
    let content = content(LONG);
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let (store, content) = (place.store.clone(), content.clone());
        writers.spawn(async move { store.put(content.as_slice(), None).await.unwrap().digest });
    }
    let digests = writers.join_all().await;
    assert!(digests.iter().all(|digest| *digest == Digest::of(&content)));
    assert_eq!(place.count("blobs/sha256").await, 1);
    place.store.verify(&digests[0]).await.unwrap();
}
