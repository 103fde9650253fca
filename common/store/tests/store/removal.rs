//! Removal by age, while others store.

use std::time::{Duration, SystemTime};

use cutover_store::{Digest, Removed, Store};
use tokio::time::timeout;

use crate::place::{Place, SIZES, content, in_both_places};
use crate::server;

in_both_places!(
    what_is_old_is_removed_and_what_is_young_stays,
    storing_again_makes_young,
    a_store_has_one_owner,
    whoever_stores_while_it_is_removed_has_it_in_the_end,
);

/// Everything is older than this.
fn tomorrow() -> SystemTime {
    SystemTime::now() + Duration::from_hours(24)
}

async fn what_is_old_is_removed_and_what_is_young_stays(place: Place) {
    let store = &place.store;
    let (kept, left) =
        (store.put_bytes(b"kept").await.unwrap(), store.put_bytes(b"left over").await.unwrap());
    let absent = Digest::of(b"never stored");
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    let all = [kept.clone(), left.clone(), absent.clone()];
    assert_eq!(store.remove_older(&all, yesterday).await.unwrap(), Removed::default());
    let removed = store.remove_older(&[left.clone(), absent], tomorrow()).await.unwrap();
    assert_eq!(removed, Removed { count: 1, bytes: 9 });
    assert!(store.contains(&kept).await.unwrap() && !store.contains(&left).await.unwrap());
    assert_eq!(store.renew(&left).await.unwrap(), None);
    assert_eq!(store.renew(&kept).await.unwrap(), Some(4));
}

async fn storing_again_makes_young(place: Place) {
    let digest = place.store.put_bytes(b"the same").await.unwrap();
    let before = place.age_mark(&digest).await.unwrap();
    // S3 counts in seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    place.store.put_bytes(b"the same").await.unwrap();
    assert!(place.age_mark(&digest).await.unwrap() > before);
}

async fn a_store_has_one_owner(place: Place) {
    let (one, other) = tokio::join!(place.store.owner("one"), place.store.owner("other"));
    assert_eq!(one.unwrap(), other.unwrap());
    let owner = place.store.owner("a third").await.unwrap();
    assert!(owner == "one" || owner == "other", "{owner}");
    assert_eq!(place.store.list().await.unwrap(), []);
}

/// Whatever comes first, what was stored is there afterwards unless a removal began later.
async fn whoever_stores_while_it_is_removed_has_it_in_the_end(place: Place) {
    for round in 0..8 {
        let content = format!("round {round}");
        let digest = place.store.put_bytes(content.as_bytes()).await.unwrap();
        // Old by what the collector holds old, and young as soon as it is stored once more.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let before = whole_second(SystemTime::now() - Duration::from_millis(50));
        let digests = [digest.clone()];
        let (removed, stored) = tokio::join!(place.store.remove_older(&digests, before), async {
            tokio::time::sleep(Duration::from_millis(3 * round)).await;
            timeout(Duration::from_secs(30), place.store.put_bytes(content.as_bytes())).await.unwrap()
        });
        removed.unwrap();
        stored.unwrap();
        assert!(place.store.contains(&digest).await.unwrap(), "round {round}");
    }
}

fn whole_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// S3 has no removal on condition: whoever sees that a removal is under way waits for its end, and stores once more what it took.
#[tokio::test]
async fn what_a_removal_took_that_was_under_way_is_stored_again() {
    let address = server::new_bucket().await;
    let (client, store) = (server::client(), Store::in_bucket(&address, SIZES).await.unwrap());
    let (bucket, mark) = (address.bucket.as_str(), "cutover/removing/somebody");
    for content in [content(100), content(6 << 20)] {
        let digest = Digest::of(&content);
        client.put_object().bucket(bucket).key(mark).send().await.unwrap();
        let (storing, all) = (store.clone(), content.clone());
        let stored = tokio::spawn(async move { storing.put(all.as_slice(), None).await });
        let there = async {
            while !store.contains(&digest).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(30), there).await.expect("it isn't stored");
        let key = format!("cutover/blobs/sha256/{}", digest.hex());
        client.delete_object().bucket(bucket).key(key).send().await.unwrap();
        assert!(!stored.is_finished());
        client.delete_object().bucket(bucket).key(mark).send().await.unwrap();
        timeout(Duration::from_secs(30), stored).await.unwrap().unwrap().unwrap();
        store.verify(&digest).await.unwrap();
    }
}
