//! What is true of a folder alone.

use cutover_store::Store;
use tempfile::TempDir;

#[tokio::test]
async fn uploads_of_killed_programs_are_removed_and_those_of_others_go_on() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut upload = store.upload().await.unwrap();
    upload.write(b"half of ").await.unwrap();
    let left = folder.path().join("incoming/left");
    std::fs::write(&left, b"a program was killed here").unwrap();
    let other = Store::open(folder.path()).await.unwrap();
    assert!(!left.exists());
    upload.write(b"it").await.unwrap();
    let stored = upload.finish(None).await.unwrap();
    assert_eq!(other.get_bytes(&stored.digest, 100).await.unwrap(), "half of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_upload_is_lost_to_whoever_opens_the_store_as_it_begins() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let path = folder.path().to_owned();
    let opening = tokio::spawn(async move {
        loop {
            Store::open(path.as_path()).await.unwrap();
        }
    });
    for number in 0..500_u32 {
        let digest = store.put_bytes(&number.to_be_bytes()).await.unwrap();
        assert!(store.contains(&digest).await.unwrap());
    }
    opening.abort();
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, b"").unwrap();
    let error = Store::open(&file).await.unwrap_err();
    assert!(error.to_string().contains("a-file"), "{error}");
}
