//! The last phase, and migrations of several parts.

use cutover_core::Phase;
use cutover_migrator::ledger::Refusal;
use cutover_migrator::{Error, Step};

use crate::support::{Database, migrations, phases};

const POSTS: &str =
    "CREATE TABLE posts (id bigint PRIMARY KEY, title varchar(40), body text, KEY by_title (title));";
const DROP: &str = "ALTER TABLE posts DROP COLUMN body, ALGORITHM=INSTANT;\n\
    ALTER TABLE posts DROP INDEX by_title, ALGORITHM=INPLACE, LOCK=NONE;\n\
    -- cutover: part\nALTER TABLE posts DROP COLUMN title, ALGORITHM=INSTANT;";

#[tokio::test]
async fn parts_are_applied_in_their_order_and_each_once() {
    let database = Database::new().await;
    let work = phases(&[("001", Phase::Expand, POSTS), ("001", Phase::Contract, DROP)]);
    let early = database.apply(Step::Contract, &work).await.unwrap_err();
    assert!(matches!(early, Error::Refused(Refusal::Early { .. })) && !early.retryable(), "{early}");
    assert_eq!(database.expand(&work).await.unwrap().applied.len(), 1);
    assert_eq!(database.apply(Step::Contract, &work).await.unwrap().applied.len(), 3);
    assert_eq!(database.apply(Step::Contract, &work).await.unwrap().already, 3);
    let left = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'posts'";
    assert_eq!(database.count(left).await, 1);
    let ended = "SELECT COUNT(*) FROM cutover_ledger_migrations WHERE finished_at IS NOT NULL";
    assert_eq!(database.count(ended).await, 2);
}

#[tokio::test]
async fn a_part_that_fails_is_where_the_next_run_begins() {
    let database = Database::new().await;
    let parts =
        "CREATE TABLE a (id int);\n-- cutover: part\nINSERT INTO b VALUES (1);\nCREATE TABLE c (id int);";
    let error = database.expand(&migrations(&[parts])).await.unwrap_err();
    assert!(error.to_string().contains("001_change (part 2), line 3"), "{error}");
    database.run("CREATE TABLE b (id int)").await;
    let again = database.expand(&migrations(&[parts])).await.unwrap();
    assert_eq!((again.already, again.applied.len()), (1, 2));
    assert_eq!(database.count("SELECT COUNT(*) FROM b").await, 1);
}
