//! What is true of a folder alone.

use std::time::{Duration, SystemTime};

use cutover_store::Store;
use tempfile::TempDir;

#[tokio::test]
async fn uploads_of_killed_programs_are_removed_after_a_day() {
    let folder = TempDir::new().unwrap();
    Store::open(folder.path()).await.unwrap();
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
