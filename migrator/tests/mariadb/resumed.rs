//! Statements that were begun by a migrator that was killed, and what becomes of them.

use std::time::Duration;

use cutover_migrator::Error;

use crate::support::{Database, migrations};
use crate::victim::{self, Task};

/// An index that takes a while.
pub(crate) const INDEX: [&str; 2] = [
    "CREATE TABLE posts (id bigint PRIMARY KEY, title varchar(200));\n\
     INSERT INTO posts SELECT seq, REPEAT(MD5(seq), 6) FROM seq_1_to_200000;",
    "ALTER TABLE posts ADD INDEX by_title (title), ALGORITHM=INPLACE, LOCK=NONE",
];

/// A session at work on the test's index.
const BUILDS: &str = "SELECT COUNT(*) FROM information_schema.processlist \
    WHERE db = DATABASE() AND state LIKE 'altering table%'";
const INDEXES: &str = "SELECT COUNT(DISTINCT index_name) FROM information_schema.statistics \
    WHERE table_schema = DATABASE() AND table_name = 'posts' AND index_name LIKE 'by_title%'";

/// The server goes on with what a killed client has asked for. Nobody may begin beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_migrator_has_left_at_work_is_ended_or_done_and_never_done_twice() {
    let database = Database::new().await;
    let mut migrator = victim::start(database.url.expose(), Task::Index, 7);
    database.until(BUILDS).await;
    migrator.kill();
    let applied = database.expand(&Task::Index.work(8)).await.unwrap();
    assert_eq!((applied.already, applied.applied.len()), (2, 1));
    assert_eq!(database.count(INDEXES).await, 1);
    assert_eq!(database.count(BUILDS).await, 0);
}

/// It is alive as far as the server knows, and its claim is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_migrator_is_ended_by_whoever_has_the_later_claim() {
    let database = Database::new().await;
    let migrator = victim::start(database.url.expose(), Task::Index, 8);
    database.until(BUILDS).await;
    migrator.freeze();
    let applied = database.expand(&Task::Index.work(9)).await.unwrap();
    assert_eq!((applied.already, applied.applied.len()), (2, 1));
    assert_eq!(database.count(INDEXES).await, 1);
}

/// The ledger as a migrator leaves it that was killed between the intent and its end.
async fn begun(database: &Database, change: &str, meanwhile: &str) -> Result<usize, Error> {
    let posts = "CREATE TABLE posts (id int PRIMARY KEY, title varchar(20));";
    database.expand(&migrations(&[posts])).await.unwrap();
    database.run("CREATE USER IF NOT EXISTS reader; GRANT SELECT ON posts TO reader").await;
    let work = migrations(&[posts, change]);
    database.expand(&work).await.unwrap();
    database
        .run(&format!(
            "UPDATE cutover_ledger_parts SET finished_at = NULL WHERE version = 2; \
             UPDATE cutover_ledger_migrations SET finished_at = NULL WHERE version = 2; {meanwhile}"
        ))
        .await;
    database.expand(&work).await.map(|applied| applied.applied.len())
}

#[tokio::test]
async fn what_was_done_is_seen_in_the_catalog_and_what_was_not_is_done() {
    let undo = "ALTER TABLE posts DROP COLUMN a, DROP COLUMN b";
    let change = "ALTER TABLE posts ADD a int, ADD b int, ALGORITHM=INSTANT";
    let columns = "SELECT GROUP_CONCAT(column_name ORDER BY column_name) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'posts'";
    for meanwhile in ["", undo] {
        let database = Database::new().await;
        assert_eq!(begun(&database, change, meanwhile).await.unwrap(), 1, "{meanwhile}");
        assert_eq!(database.value::<String>(columns).await, "a,b,id,title");
    }
    // The server has chosen the name: that the table has changed since may be anybody's doing.
    let database = Database::new().await;
    let error = begun(&database, "ALTER TABLE posts ADD INDEX (title)", "").await.unwrap_err();
    assert!(matches!(&error, Error::Unclear { .. }) && error.to_string().contains("no name"), "{error}");
}

const REVOKE: &str = "REVOKE SELECT ON posts FROM reader";

#[tokio::test]
async fn what_can_not_be_told_is_refused_with_the_way_to_say_it() {
    for (change, meanwhile, done) in [
        (
            "ALTER TABLE posts ADD a int, ADD b int, ALGORITHM=INSTANT",
            "ALTER TABLE posts DROP COLUMN a",
            false,
        ),
        ("TRUNCATE TABLE posts", "INSERT INTO posts VALUES (1, 'since')", true),
        // Done twice it is an error: what it takes away isn't there any more.
        (REVOKE, "INSERT INTO posts VALUES (1, 'since')", true),
    ] {
        let database = Database::new().await;
        let error = begun(&database, change, meanwhile).await.unwrap_err();
        let Error::Unclear { done: was, undone, .. } = &error else { panic!("{error}") };
        assert!(!error.retryable() && error.to_string().contains("002_change"), "{error}");
        let torn =
            "one part is done (column b of posts is there) and another isn't (column a of posts isn't there)";
        assert_eq!(error.to_string().contains(torn), !done, "{error}");
        if done {
            database.run(was).await;
        } else {
            database.run(&format!("{undone} ALTER TABLE posts DROP COLUMN b")).await;
        }
        let posts = "CREATE TABLE posts (id int PRIMARY KEY, title varchar(20));";
        let again = database.expand(&migrations(&[posts, change])).await.unwrap();
        assert_eq!(again.already + again.applied.len(), 2);
        assert_eq!(database.count("SELECT COUNT(*) FROM posts WHERE title = 'since'").await, i64::from(done));
    }
}

/// A later claim can't know what an earlier one has in mind: it waits until it is gone.
#[tokio::test]
async fn a_migrator_that_waits_has_begun_nothing() {
    let database = Database::new().await;
    database.run("CREATE TABLE posts (id int)").await;
    let mut reader = database.session().await;
    crate::support::run(&mut reader, "BEGIN; SELECT * FROM posts").await;
    let change = migrations(&["ALTER TABLE posts ADD a int, ALGORITHM=INSTANT"]);
    let dropped = tokio::time::timeout(Duration::from_secs(1), database.expand(&change)).await;
    assert!(dropped.is_err());
    crate::support::run(&mut reader, "COMMIT").await;
    assert_eq!(database.expand(&change).await.unwrap().applied.len(), 1);
}
