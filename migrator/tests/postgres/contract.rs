//! The last phase, and migrations of several parts.

use cutover_core::Phase;
use cutover_migrator::ledger::Refusal;
use cutover_migrator::{Error, Step};

use crate::support::{Database, migrations, phases};

const POSTS: &str = "CREATE TABLE posts (id bigint PRIMARY KEY, title text, body text); CREATE INDEX by_title ON posts (title);";
const DROP: &str = "ALTER TABLE posts DROP COLUMN body;\n\
    -- cutover: part\n-- cutover: transaction=off\nDROP INDEX CONCURRENTLY by_title;\n\
    -- cutover: part\n-- cutover: transaction=off\nREINDEX TABLE CONCURRENTLY posts;\n\
    -- cutover: part\nALTER TABLE posts DROP COLUMN title;";

#[tokio::test]
async fn parts_are_applied_in_their_order_and_each_once() {
    let database = Database::new().await;
    let work = phases(&[("001", Phase::Expand, POSTS), ("001", Phase::Contract, DROP)]);
    let early = database.apply(Step::Contract, &work).await.unwrap_err();
    assert!(matches!(early, Error::Refused(Refusal::Early { .. })) && !early.retryable(), "{early}");
    assert_eq!(database.expand(&work).await.unwrap().applied.len(), 1);
    assert_eq!(database.apply(Step::Contract, &work).await.unwrap().applied.len(), 4);
    assert_eq!(database.apply(Step::Contract, &work).await.unwrap().already, 4);
    let left = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'posts'::regclass AND attnum > 0 AND NOT attisdropped";
    assert_eq!(database.count(left).await, 1);
    let ended = "SELECT count(*) FROM cutover_ledger.migrations WHERE finished_at IS NOT NULL";
    assert_eq!(database.count(ended).await, 2);
}

#[tokio::test]
async fn a_part_that_fails_is_where_the_next_run_begins() {
    let database = Database::new().await;
    let parts = "CREATE TABLE a (id int);\n-- cutover: part\nINSERT INTO b VALUES (1);\n-- cutover: part\nCREATE TABLE c (id int);";
    let error = database.expand(&migrations(&[parts])).await.unwrap_err();
    assert!(error.to_string().contains("001_change (part 2), line 3"), "{error}");
    database.session().await.batch_execute("CREATE TABLE b (id int)").await.unwrap();
    let again = database.expand(&migrations(&[parts])).await.unwrap();
    assert_eq!((again.already, again.applied.len()), (1, 2));
    assert_eq!(database.count("SELECT count(*) FROM b").await, 1);
}

/// Another session reads the table all the time that it takes to time out.
#[tokio::test]
async fn an_index_that_could_not_be_removed_is_removed_by_the_next_run() {
    let database = Database::new().await;
    let drop = "-- cutover: transaction=off\nDROP INDEX CONCURRENTLY by_title;";
    let work = phases(&[("001", Phase::Expand, POSTS), ("001", Phase::Contract, drop)]);
    database.expand(&work).await.unwrap();
    let reader = database.session().await;
    reader.batch_execute("BEGIN; SELECT * FROM posts").await.unwrap();
    let limits = cutover_migrator::Limits {
        index_lock: std::time::Duration::from_millis(300),
        ..cutover_migrator::Limits::default()
    };
    let (outcome, _) = database.apply_within(Step::Contract, &work, &limits).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Locked { .. }) && error.retryable(), "{error}");
    let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'posts'::regclass";
    assert_eq!(database.count(indexes).await, 2);
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(database.apply(Step::Contract, &work).await.unwrap().applied.len(), 1);
    assert_eq!(database.count(indexes).await, 1);
}

/// What earlier versions of this program have left.
#[tokio::test]
async fn a_ledger_of_before_there_were_parts_is_read() {
    let database = Database::new().await;
    let work = migrations(&["CREATE TABLE a (id int)", "CREATE TABLE b (id int)"]);
    database.expand(&migrations(&["CREATE TABLE a (id int)"])).await.unwrap();
    let before = "DROP TABLE cutover_ledger.parts, cutover_ledger.backfills, cutover_ledger.sessions";
    database.session().await.batch_execute(before).await.unwrap();
    let after = database.expand(&work).await.unwrap();
    assert_eq!((after.already, after.applied.len()), (1, 1));
}
