//! Locks that others hold, and others who wait.

use std::time::Duration;

use cutover_migrator::{Error, Limits, Progress, expand};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, LIMIT, migrations};

const POSTS: &str = "CREATE TABLE posts (id int)";
const CHANGE: &str = "ALTER TABLE posts ADD title text";

/// The old reader ends only after others have read, behind a change that waits for it: if they had to queue until it
/// ends, none of it ever would.
#[tokio::test]
async fn a_change_that_waits_for_an_old_reader_lets_others_through_and_lands_after_it() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS])).await.unwrap();
    let old_reader = database.session().await;
    old_reader.batch_execute("BEGIN; SELECT * FROM posts").await.unwrap();

    let (progress, mut told) = unbounded_channel();
    let (change, limits) = (migrations(&[POSTS, CHANGE]), Limits::default());
    let changed = expand(&database.url, &change, &limits, &progress);
    let served = async {
        let mut blockers = 0;
        while blockers == 0 {
            if let Some(Progress::Blocked { blockers: seen, .. }) = told.recv().await {
                blockers = seen.0.len();
            }
        }
        let reader = database.session().await;
        let reading = tokio::time::Instant::now();
        while reading.elapsed() < Duration::from_secs(2) {
            reader.batch_execute("SELECT * FROM posts").await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        old_reader.batch_execute("COMMIT").await.unwrap();
    };
    let (changed, ()) =
        tokio::time::timeout(LIMIT, async { tokio::join!(changed, served) }).await.expect("all wait for all");
    assert_eq!(changed.unwrap().applied.len(), 1);
}

#[tokio::test]
async fn a_lock_that_is_never_given_ends_in_an_error_that_names_its_holder() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS])).await.unwrap();
    let reader = database.session().await;
    reader
        .batch_execute("SET application_name = 'nightly report'; BEGIN; SELECT * FROM posts")
        .await
        .unwrap();

    let limits = Limits { patience: Duration::from_secs(1), ..Limits::default() };
    let (outcome, _) = database.expand_within(&migrations(&[POSTS, CHANGE]), &limits).await;
    let error = outcome.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Locked { tries: 2.., .. }) && error.retryable(), "{message}");
    assert!(message.contains("nightly report") && message.contains("idle in transaction"), "{message}");
    let row = reader.query_one("SELECT count(*) FROM cutover_ledger.migrations", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}
