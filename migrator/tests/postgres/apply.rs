//! What is applied, and what is not.

use std::time::Duration;

use cutover_migrator::{Error, Limits};

use crate::support::{Database, migrations};

const POSTS: &str = "CREATE TABLE posts (id bigint PRIMARY KEY, title text);";
const ROWS: &str = "SELECT count(*) FROM cutover_ledger.migrations WHERE finished_at IS NOT NULL";

#[tokio::test]
async fn each_migration_is_applied_once() {
    let database = Database::new().await;
    let both =
        migrations(&[POSTS, "ALTER TABLE posts ADD body text;\nINSERT INTO posts VALUES (1, 'a', ';');"]);
    let first = database.expand(&both).await.unwrap();
    assert_eq!((first.applied.len(), first.already), (2, 0));
    let second = database.expand(&both).await.unwrap();
    assert_eq!((second.applied.len(), second.already), (0, 2));
    assert_eq!(database.count("SELECT count(*) FROM posts WHERE body = ';'").await, 1);
    assert_eq!(database.count(ROWS).await, 2);
}

#[tokio::test]
async fn an_older_release_finds_newer_versions_in_order() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS, "ALTER TABLE posts ADD body text"])).await.unwrap();
    let rollback = database.expand(&migrations(&[POSTS])).await.unwrap();
    assert_eq!((rollback.applied.len(), rollback.already), (0, 1));
}

#[tokio::test]
async fn an_applied_migration_that_changed_is_refused_with_both_checksums() {
    let database = Database::new().await;
    let before = migrations(&[POSTS]);
    database.expand(&before).await.unwrap();
    let after = migrations(&["CREATE TABLE posts (id uuid PRIMARY KEY);", "CREATE TABLE never (id int)"]);
    let error = database.expand(&after).await.unwrap_err();
    let message = error.to_string();
    for expansion in [&before, &after] {
        let checksum = expansion.migrations.iter().next().unwrap().checksum();
        assert!(message.contains(checksum), "{message}");
    }
    assert!(message.contains("001_change") && !error.retryable());
    assert_eq!(database.count("SELECT count(*) FROM pg_class WHERE relname = 'never'").await, 0);
}

#[tokio::test]
async fn a_failing_migration_names_its_line_and_leaves_nothing() {
    let database = Database::new().await;
    let failing =
        "-- Ümlauts count as one.\nCREATE TABLE tags (id int);\n  SELECT 'ü',\n    nothing FROM posts;";
    let error = database.expand(&migrations(&[POSTS, failing])).await.unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("002_change, line 4, column 5: column \"nothing\" does not exist (SQLSTATE 42703)"),
        "{message}"
    );
    assert!(!error.retryable());
    assert_eq!(database.count("SELECT count(*) FROM pg_class WHERE relname = 'tags'").await, 0);
    assert_eq!(database.count(ROWS).await, 1);
}

#[tokio::test]
async fn an_error_without_a_position_names_the_line_of_its_statement() {
    let database = Database::new().await;
    let failing = "INSERT INTO posts VALUES (1, 'a');\n\nINSERT INTO posts\nVALUES (1, 'b');";
    let message = database.expand(&migrations(&[POSTS, failing])).await.unwrap_err().to_string();
    assert!(
        message.contains("002_change, line 3: duplicate key") && message.contains("(id)=(1)"),
        "{message}"
    );
}

#[tokio::test]
async fn what_fails_at_commit_is_not_applied() {
    let database = Database::new().await;
    let deferred = "CREATE TABLE a (id int PRIMARY KEY, b int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO a VALUES (1, 2);";
    let error = database.expand(&migrations(&[deferred])).await.unwrap_err();
    assert!(error.to_string().contains("violates foreign key constraint"), "{error}");
    assert_eq!(database.count(ROWS).await, 0);
}

#[tokio::test]
async fn settings_of_one_migration_do_not_reach_the_next() {
    let database = Database::new().await;
    let settings = "CREATE ROLE shop_owner; CREATE SCHEMA elsewhere; SET search_path = elsewhere; SET statement_timeout = 1; SET ROLE shop_owner;";
    database
        .expand(&migrations(&[settings, "SELECT pg_sleep(0.05); CREATE TABLE here (id int);"]))
        .await
        .unwrap();
    let found = "SELECT count(*) FROM pg_class WHERE relname = 'here' AND relnamespace = 'public'::regnamespace AND relowner = 'cutover'::regrole";
    assert_eq!(database.count(found).await, 1);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let database = Database::new().await;
    let limits = Limits { statement: Duration::from_millis(200), ..Limits::default() };
    let slow = migrations(&["CREATE TABLE a (id int);\nSELECT pg_sleep(600);"]);
    let (outcome, _) = database.expand_within(&slow, &limits).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Statement { .. }) && !error.retryable());
    assert!(error.to_string().contains("line 2: canceling statement due to statement timeout"), "{error}");
}
