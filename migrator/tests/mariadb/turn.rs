//! Several migrators at once.

use std::time::Duration;

use cutover_migrator::{Error, Limits};

use crate::support::{Database, migrations};
use crate::victim::{self, Task};

#[tokio::test]
async fn of_two_migrators_exactly_one_applies_each_migration() {
    let database = Database::new().await;
    let files = migrations(&[
        "CREATE TABLE posts (id int PRIMARY KEY, title varchar(40));\nINSERT INTO posts SELECT seq, seq FROM seq_1_to_10000;",
        "ALTER TABLE posts ADD INDEX by_title (title), ALGORITHM=INPLACE, LOCK=NONE",
        "ALTER TABLE posts ADD body text, ALGORITHM=INSTANT",
    ]);
    let limits = Limits::default();
    let (one, other) =
        tokio::join!(database.expand_within(&files, &limits), database.expand_within(&files, &limits));
    let (one, other) = (one.0.unwrap(), other.0.unwrap());
    assert_eq!(one.applied.len() + other.applied.len(), 4);
    assert_eq!(one.already + other.already, 4);
    assert_eq!(database.count("SELECT COUNT(*) FROM posts").await, 10_000);
}

#[tokio::test]
async fn whoever_keeps_the_turn_is_named() {
    let database = Database::new().await;
    let mut slow = migrations(&["SELECT SLEEP(600)"]);
    slow.service = "slow".parse().unwrap();
    let waits = async {
        database.until(&format!("SELECT COUNT(*) FROM ({HOLDER}) AS holder")).await;
        let id = database.count(HOLDER).await;
        let limits = Limits { turn: Duration::from_millis(300), ..Limits::default() };
        let (outcome, _) = database.expand_within(&migrations(&["DO 1"]), &limits).await;
        (outcome.unwrap_err(), id)
    };
    let (error, id) = tokio::select! {
        slow = Box::pin(database.expand(&slow)) => panic!("it never worked: {slow:?}"),
        waited = Box::pin(waits) => waited,
    };
    assert!(matches!(error, Error::Turn { .. }) && error.retryable());
    assert!(error.to_string().contains(&format!("session {id} ")), "{error}");
}

/// The session that sleeps in the test's database.
const HOLDER: &str =
    "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info = 'SELECT SLEEP(600)'";

#[tokio::test]
async fn a_cancelled_expansion_lets_go_of_the_database() {
    let database = Database::new().await;
    let table = "CREATE TABLE a (id int)";
    let slow = migrations(&[table, "SELECT SLEEP(600)"]);
    let cancelled = tokio::time::timeout(Duration::from_millis(800), database.expand(&slow)).await;
    assert!(cancelled.is_err());
    let quick = database.expand(&migrations(&[table])).await.unwrap();
    assert_eq!(quick.applied.len() + quick.already, 1);
}

/// No server hears that a machine has vanished. It is as silent as a process that is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migrator_that_has_vanished_does_not_keep_the_turn() {
    let database = Database::new().await;
    let migrator = victim::start(database.url.expose(), Task::Index, 7);
    let at_work = "SELECT COUNT(*) FROM information_schema.processlist \
        WHERE db = DATABASE() AND state LIKE 'altering table%'";
    database.until(at_work).await;
    migrator.freeze();
    let mut other = migrations(&["CREATE TABLE invoices (id int)"]);
    other.service = "billing".parse().unwrap();
    let limits = Limits { turn: Duration::from_secs(150), ..Limits::default() };
    let (outcome, _) = database.expand_within(&other, &limits).await;
    assert_eq!(outcome.unwrap().applied.len(), 1);
}
