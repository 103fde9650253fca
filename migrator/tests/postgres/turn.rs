//! Several migrators at once.

use std::time::Duration;

use cutover_migrator::{Error, Limits};

use crate::support::{Database, migrations};

const INDEX: &str = "-- cutover: transaction=off\nCREATE INDEX CONCURRENTLY posts_title ON posts (title);";

#[tokio::test]
async fn of_two_migrators_exactly_one_applies_each_migration() {
    let database = Database::new().await;
    let files = migrations(&[
        "CREATE TABLE posts (id int, title text); INSERT INTO posts SELECT n, n::text FROM generate_series(1, 10000) n",
        INDEX,
        "ALTER TABLE posts ADD body text",
    ]);
    let limits = Limits::default();
    let (one, other) =
        tokio::join!(database.expand_within(&files, &limits), database.expand_within(&files, &limits));
    let (one, other) = (one.0.unwrap(), other.0.unwrap());
    assert_eq!(one.applied.len() + other.applied.len(), 3);
    assert_eq!(one.already + other.already, 3);
    assert_eq!(database.count("SELECT count(*) FROM posts").await, 10000);
    assert_eq!(
        database
            .count("SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid = 'posts'::regclass")
            .await,
        1
    );
}

#[tokio::test]
async fn whoever_keeps_the_turn_is_named() {
    let database = Database::new().await;
    let holder = database.session().await;
    // "cutover" in ASCII.
    let pid: i32 = holder
        .query_one(
            "SELECT pg_backend_pid(), pg_advisory_lock(x'00637574'::bigint << 32 | x'6f766572'::bigint)",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let limits = Limits { turn: Duration::from_millis(300), ..Limits::default() };
    let (outcome, _) = database.expand_within(&migrations(&["SELECT 1"]), &limits).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Turn { .. }) && error.retryable());
    assert!(error.to_string().contains(&format!("session {pid} ")), "{error}");
}

#[tokio::test]
async fn a_cancelled_expansion_lets_go_of_the_database() {
    let database = Database::new().await;
    let slow = migrations(&["CREATE TABLE a (id int); SELECT pg_sleep(600)"]);
    let cancelled = tokio::time::timeout(Duration::from_millis(500), database.expand(&slow)).await;
    assert!(cancelled.is_err());
    let quick = database.expand(&migrations(&["CREATE TABLE a (id int)"])).await.unwrap();
    assert_eq!(quick.applied.len(), 1);
}
