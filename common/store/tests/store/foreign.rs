//! A bucket with objects of somebody else.

use cutover_store::{BucketAddress, Error, ForeignBucket, ForeignObject, Trouble};
use tokio::io::AsyncReadExt;

use crate::place::content;
use crate::relay::Relay;
use crate::server;

const NEVER: u64 = u64::MAX;

async fn put(address: &BucketAddress, key: &str, content: Vec<u8>) {
    let put = server::client().put_object().bucket(&address.bucket).key(key);
    put.body(content.into()).send().await.unwrap();
}

async fn listed(address: &BucketAddress, prefix: &str) -> Vec<ForeignObject> {
    let address = BucketAddress { prefix: prefix.to_owned(), ..address.clone() };
    ForeignBucket::open(address).await.list().await.unwrap()
}

#[tokio::test]
async fn what_is_below_a_prefix_is_listed_by_its_name_there() {
    let address = server::new_bucket().await;
    for key in ["models/a/config", "models/a/onnx/weights", "models/ab/weights", "models/single"] {
        put(&address, key, key.as_bytes().to_vec()).await;
    }
    let names = |objects: Vec<ForeignObject>| {
        objects.into_iter().map(|object| (object.name, object.size)).collect::<Vec<_>>()
    };
    let expected = [("config".to_owned(), 15), ("onnx/weights".to_owned(), 21)];
    assert_eq!(names(listed(&address, "models/a").await), expected);
    assert_eq!(names(listed(&address, "models/single").await), [("single".to_owned(), 13)]);
    assert_eq!(names(listed(&address, "models/b").await), []);
    assert_eq!(listed(&address, "").await.len(), 4);
}

#[tokio::test]
async fn a_connection_that_breaks_costs_nothing_and_another_object_is_not_taken_for_the_same() {
    let address = server::new_bucket().await;
    let content = content(22 << 20);
    put(&address, "weights", content.clone()).await;
    let relay = Relay::before(server::endpoint(), NEVER, 4 << 20, 2).await;
    let behind = BucketAddress { prefix: String::new(), endpoint: Some(relay.url()), ..address.clone() };
    let bucket = ForeignBucket::open(behind).await;
    let [object] = <[ForeignObject; 1]>::try_from(bucket.list().await.unwrap()).unwrap();
    let mut read = Vec::new();
    bucket.read(&object).read_to_end(&mut read).await.unwrap();
    assert_eq!(relay.cuts(), 2);
    assert!(read == content);

    put(&address, "weights", vec![1; 22 << 20]).await;
    let error = bucket.read(&object).read_to_end(&mut read).await.unwrap_err();
    let error: Error = error.downcast().unwrap();
    let changed =
        |trouble: &Trouble| matches!(trouble, Trouble::Refused(code) if code == "PreconditionFailed");
    assert!(matches!(&error, Error::S3 { trouble, .. } if changed(trouble)), "{error}");
}
