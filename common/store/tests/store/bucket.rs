//! What is true of a bucket alone: connections that break, and servers that refuse.

use std::time::{Duration, SystemTime};

use cutover_store::{BucketAddress, Digest, Error, Store, Trouble};
use tokio::io::AsyncReadExt;

use crate::place::{SIZES, content};
use crate::relay::Relay;
use crate::server;

const NEVER: u64 = u64::MAX;

async fn behind(relay: &Relay, address: &BucketAddress) -> Store {
    let address = BucketAddress { endpoint: Some(relay.url()), ..address.clone() };
    Store::in_bucket(&address, SIZES).await.unwrap()
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_goes_on_part_by_part() {
    let address = server::new_bucket().await;
    // In the middle of the first part and of the second; with the third, none is broken any more.
    let relay = Relay::before(server::endpoint(), 3 << 20, NEVER, 2).await;
    let content = content(22 << 20);
    let stored = behind(&relay, &address).await.put(content.as_slice(), None).await.unwrap();
    assert_eq!(relay.cuts(), 2);
    let direct = Store::in_bucket(&address, SIZES).await.unwrap();
    assert!(direct.get_bytes(&stored.digest, NEVER).await.unwrap() == content);
}

#[tokio::test]
async fn a_content_whose_connection_breaks_is_read_on_from_where_it_was() {
    let address = server::new_bucket().await;
    let content = content(22 << 20);
    let direct = Store::in_bucket(&address, SIZES).await.unwrap();
    let digest = direct.put(content.as_slice(), None).await.unwrap().digest;
    let relay = Relay::before(server::endpoint(), NEVER, 4 << 20, 3).await;
    let store = behind(&relay, &address).await;
    let mut read = Vec::new();
    store.get(&digest).await.unwrap().read_to_end(&mut read).await.unwrap();
    assert_eq!(relay.cuts(), 3);
    assert!(read == content);

    let relay = Relay::before(server::endpoint(), NEVER, 4 << 20, 2).await;
    let store = behind(&relay, &address).await;
    let mut read = Vec::new();
    let range = 1_000_000..21_000_000;
    store.get_range(&digest, range).await.unwrap().read_to_end(&mut read).await.unwrap();
    assert_eq!(relay.cuts(), 2);
    assert!(read == content[1_000_000..21_000_000]);
}

#[tokio::test]
async fn a_connection_that_always_breaks_is_given_up() {
    let address = server::new_bucket().await;
    let digest = {
        let direct = Store::in_bucket(&address, SIZES).await.unwrap();
        direct.put(content(6 << 20).as_slice(), None).await.unwrap().digest
    };
    // The headers of an answer come through, and nothing of a content as long as this.
    let relay = Relay::before(server::endpoint(), NEVER, 8 << 10, NEVER).await;
    let store = behind(&relay, &address).await;
    let error = store.verify(&digest).await.unwrap_err();
    assert!(error.retryable(), "{error}");
    assert!(error.to_string().contains("the server doesn't answer"), "{error}");
}

#[tokio::test]
async fn two_that_store_and_one_that_reads_at_once_do_no_harm() {
    let address = server::new_bucket().await;
    let content = content(11 << 20);
    let digest = Digest::of(&content);
    let store = Store::in_bucket(&address, SIZES).await.unwrap();
    store.put(content.as_slice(), None).await.unwrap();
    let write = || async { store.put(content.as_slice(), Some(&digest)).await.unwrap() };
    let read = async {
        for _ in 0..5 {
            store.verify(&digest).await.unwrap();
        }
    };
    tokio::join!(write(), write(), read);
    store.verify(&digest).await.unwrap();
}

async fn refused(address: &BucketAddress) -> (Trouble, Error) {
    let error = Store::in_bucket(address, SIZES).await.unwrap_err();
    let Error::S3 { trouble, .. } = &error else { panic!("{error}") };
    (trouble.clone(), error)
}

#[tokio::test]
async fn wrong_credentials_are_named() {
    let right = server::new_bucket().await;
    for (key, secret) in [("nobody", server::SECRET), (server::KEY, "wrong")] {
        let file = server::credentials(key, secret);
        let wrong = BucketAddress { credentials: Some(file.path().into()), ..right.clone() };
        let (trouble, error) = refused(&wrong).await;
        assert_eq!(trouble, Trouble::Credentials, "{error}");
        assert!(!error.retryable());
        assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }
    let absent = BucketAddress { credentials: Some("/nowhere/credentials".into()), ..right };
    let (trouble, error) = refused(&absent).await;
    assert_eq!(trouble, Trouble::NoCredentials, "{error:?}");
    assert!(error.to_string().contains("?credentials="), "{error}");
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let (trouble, error) = refused(&server::address("not-made-by-anybody")).await;
    assert_eq!(trouble, Trouble::NoBucket, "{error:?}");
    let message = error.to_string();
    assert!(message.contains("s3://not-made-by-anybody/cutover at http://127.0.0.1:"), "{message}");
    assert!(message.contains("create it"), "{message}");
}

#[tokio::test]
async fn a_server_that_is_not_there_may_be_asked_again() {
    let address = server::new_bucket().await;
    let (trouble, error) =
        refused(&BucketAddress { endpoint: Some("http://127.0.0.1:1".to_owned()), ..address }).await;
    assert_eq!(trouble, Trouble::Unreachable, "{error:?}");
    assert!(error.retryable());
}

#[tokio::test]
async fn what_killed_programs_left_is_removed_once_it_is_old() {
    let address = server::new_bucket().await;
    let (client, store) = (server::client(), Store::in_bucket(&address, SIZES).await.unwrap());
    let begun = client.create_multipart_upload().bucket(&address.bucket).key("cutover/incoming/a");
    begun.send().await.unwrap();
    for key in ["cutover/incoming/b", "cutover/removing/c", "other/d"] {
        client.put_object().bucket(&address.bucket).key(key).send().await.unwrap();
    }
    let left = || async {
        let objects = client.list_objects_v2().bucket(&address.bucket).send().await.unwrap();
        let uploads = client.list_multipart_uploads().bucket(&address.bucket).send().await.unwrap();
        (objects.contents().len(), uploads.uploads().len())
    };
    store.remove_abandoned(SystemTime::now() - Duration::from_hours(24)).await.unwrap();
    assert_eq!(left().await, (3, 1));
    store.remove_abandoned(SystemTime::now() + Duration::from_hours(1)).await.unwrap();
    assert_eq!(left().await, (1, 0), "what is somebody else's stays");
}
