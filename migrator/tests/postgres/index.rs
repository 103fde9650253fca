//! Indexes built concurrently.

use std::time::Duration;

use cutover_migrator::{Error, Limits, Progress, Step, apply};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, LIMIT, migrations};
use crate::victim::{self, Task};

const POSTS: &str = "CREATE TABLE posts (id int, title text); INSERT INTO posts VALUES (1, 'a'), (2, 'a')";
const INDEX: &str = "-- cutover: transaction=off\nCREATE INDEX CONCURRENTLY posts_title ON posts (title);";
const UNIQUE: &str =
    "-- cutover: transaction=off\nCREATE UNIQUE INDEX CONCURRENTLY posts_title ON posts (title);";
const INDEXES: &str = "SELECT count(*) FROM pg_index WHERE indrelid = 'posts'::regclass";
const VALID: &str =
    "SELECT count(*) FROM pg_index WHERE indrelid = 'posts'::regclass AND indisvalid AND indisready";

/// What is done by the process that is to be killed.
pub(crate) const KILLED: [&str; 2] = [POSTS, INDEX];

#[tokio::test]
async fn an_index_is_built_once() {
    let database = Database::new().await;
    let files = migrations(&[POSTS, INDEX]);
    assert_eq!(database.expand(&files).await.unwrap().applied.len(), 2);
    assert_eq!(database.expand(&files).await.unwrap().already, 2);
    assert_eq!((database.count(INDEXES).await, database.count(VALID).await), (1, 1));
}

#[tokio::test]
async fn duplicates_are_a_clear_error_that_leaves_no_half_an_index() {
    let database = Database::new().await;
    let files = migrations(&[POSTS, UNIQUE]);
    let error = database.expand(&files).await.unwrap_err();
    assert!(error.to_string().contains("002_change, line 2: could not create unique index"), "{error}");
    assert!(error.to_string().contains("(title)=(a) is duplicated") && !error.retryable(), "{error}");
    assert_eq!(database.count(INDEXES).await, 0);

    database.session().await.batch_execute("UPDATE posts SET title = id").await.unwrap();
    assert_eq!(database.expand(&files).await.unwrap().applied.len(), 1);
    assert_eq!((database.count(INDEXES).await, database.count(VALID).await), (1, 1));
}

#[tokio::test]
async fn an_invalid_index_of_somebody_else_is_left_alone() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS])).await.unwrap();
    let by_hand = "CREATE UNIQUE INDEX CONCURRENTLY posts_title ON posts (title)";
    assert!(database.session().await.batch_execute(by_hand).await.is_err());
    let error = database.expand(&migrations(&[POSTS, INDEX])).await.unwrap_err();
    assert!(matches!(&error, Error::InvalidIndex { index, .. } if index == "public.posts_title"), "{error}");
    assert_eq!((database.count(INDEXES).await, database.count(VALID).await), (1, 0));
}

#[tokio::test]
async fn a_build_that_was_killed_is_done_again() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS])).await.unwrap();
    // The build can't get past the first of its phases as long as this writer is at work.
    let writer = database.session().await;
    writer.batch_execute("BEGIN; INSERT INTO posts VALUES (3, 'b')").await.unwrap();
    let mut migrator = victim::start(database.url.expose(), Task::Index, 7);
    database.until("SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = 'posts'::regclass)").await;
    migrator.kill();
    // The server notices that its client is gone, by itself.
    database
        .until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'cutover-migrator' AND datname = current_database())")
        .await;
    writer.batch_execute("COMMIT").await.unwrap();
    assert_eq!((database.count(INDEXES).await, database.count(VALID).await), (1, 0));

    let (outcome, mut told) = database.expand_within(&migrations(&KILLED), &Limits::default()).await;
    assert_eq!(outcome.unwrap().applied.len(), 1);
    let mut rebuilt = false;
    while let Ok(progress) = told.try_recv() {
        rebuilt |= matches!(progress, Progress::Rebuilding { .. });
    }
    assert!(rebuilt);
    assert_eq!((database.count(INDEXES).await, database.count(VALID).await), (1, 1));
}

/// What he builds is INVALID until it is done, and bears the name of what the killed one has left.
#[tokio::test]
async fn an_index_that_somebody_else_is_building_is_waited_for_and_not_dropped() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS])).await.unwrap();
    let writer = database.session().await;
    writer.batch_execute("BEGIN; INSERT INTO posts VALUES (3, 'b')").await.unwrap();
    let mut migrator = victim::start(database.url.expose(), Task::Index, 7);
    database.until("SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = 'posts'::regclass)").await;
    migrator.kill();
    database
        .until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'cutover-migrator' AND datname = current_database())")
        .await;
    for sql in ["COMMIT", "DROP INDEX posts_title", "BEGIN", "INSERT INTO posts VALUES (4, 'c')"] {
        writer.batch_execute(sql).await.unwrap();
    }
    let other = database.session().await;
    let by_hand = tokio::spawn(async move {
        other.batch_execute("CREATE INDEX CONCURRENTLY posts_title ON posts (title)").await
    });
    database.until("SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = 'posts'::regclass)").await;
    let index = database.count("SELECT 'posts_title'::regclass::oid::int8").await;

    let (progress, mut told) = unbounded_channel();
    let (files, limits) = (migrations(&KILLED), Limits::default());
    let expanded = Box::pin(apply(&database.url, Step::Expand, &files, &limits, &progress));
    let built = async {
        while !matches!(told.recv().await.unwrap(), Progress::Building { .. }) {}
        writer.batch_execute("COMMIT").await.unwrap();
    };
    let both = async { tokio::join!(expanded, built) };
    let (expanded, ()) = tokio::time::timeout(LIMIT, both).await.expect("nobody was waited for");
    assert_eq!(expanded.unwrap().applied.len(), 1);
    by_hand.await.unwrap().unwrap();
    assert_eq!(database.count("SELECT 'posts_title'::regclass::oid::int8").await, index);
    assert_eq!((database.count(INDEXES).await, database.count(VALID).await), (1, 1));
}

/// A build waits for all who have written to the table before; this writer doesn't end.
#[tokio::test]
async fn a_build_that_takes_too_long_leaves_nothing_and_names_who_was_in_the_way() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS])).await.unwrap();
    let writer = database.session().await;
    writer
        .batch_execute("SET application_name = 'import'; BEGIN; INSERT INTO posts VALUES (3, 'b')")
        .await
        .unwrap();
    let limits = Limits { index_lock: Duration::from_millis(500), ..Limits::default() };
    let files = migrations(&[POSTS, INDEX]);
    let (outcome, _) = database.expand_within(&files, &limits).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Locked { .. }) && error.retryable(), "{error}");
    assert!(error.to_string().contains("import"), "{error}");
    writer.batch_execute("COMMIT").await.unwrap();
    assert_eq!(database.expand(&files).await.unwrap().applied.len(), 1);
    assert_eq!((database.count(INDEXES).await, database.count(VALID).await), (1, 1));
}

/// Its session lives as long as it does, in mid-build and with the turn, and nobody would know when that ends.
#[tokio::test]
async fn a_frozen_migrator_is_ended_by_a_later_claim_and_only_by_one() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS])).await.unwrap();
    let writer = database.session().await;
    writer.batch_execute("BEGIN; INSERT INTO posts VALUES (3, 'b')").await.unwrap();
    let migrator = victim::start(database.url.expose(), Task::Index, 8);
    database.until("SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = 'posts'::regclass)").await;
    migrator.freeze();

    let mut files = migrations(&KILLED);
    files.epoch.sequence = 8;
    let limits = Limits { turn: Duration::from_secs(5), ..Limits::default() };
    let (outcome, _) = database.expand_within(&files, &limits).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Turn { .. }) && error.retryable(), "{error}");
    writer.batch_execute("COMMIT").await.unwrap();
    files.epoch.sequence = 9;
    assert_eq!(database.expand(&files).await.unwrap().applied.len(), 1);
    assert_eq!((database.count(INDEXES).await, database.count(VALID).await), (1, 1));
}
