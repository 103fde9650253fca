//! Locks that others hold, and others who wait.

use std::time::Duration;

use cutover_migrator::{Error, Limits, Progress, Step, apply};
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, LIMIT, Server, migrations, run};

const POSTS: &str = "CREATE TABLE posts (id int)";
const CHANGE: &str = "ALTER TABLE posts ADD title text, ALGORITHM=INSTANT";

/// How a server shows who holds the locks of tables: not at all, by MariaDB's plugin, as MySQL does.
const SIGHTS: [&[&str]; 3] = [
    &[],
    &["--plugin-load-add=metadata_lock_info"],
    &["--performance-schema=ON", "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON"],
];

/// The old reader ends only after others have read, behind a change that waits for it: if they had to queue until it
/// ends, none of it ever would.
#[tokio::test]
async fn a_change_that_waits_for_an_old_reader_lets_others_through_and_lands_after_it() {
    for sight in SIGHTS {
        let server = Server::start(sight);
        let database = Database::on(&server).await;
        database.expand(&migrations(&[POSTS])).await.unwrap();
        let mut old_reader = database.session().await;
        run(&mut old_reader, "BEGIN; SELECT * FROM posts").await;

        let (progress, mut told) = unbounded_channel();
        let (change, limits) = (migrations(&[POSTS, CHANGE]), Limits::default());
        let changed = Box::pin(apply(&database.url, Step::Expand, &change, &limits, &progress));
        let served = async {
            let mut blockers = 0;
            while blockers == 0 {
                if let Some(Progress::Blocked { blockers: seen, .. }) = told.recv().await {
                    blockers = seen.0.len();
                }
            }
            let mut reader = database.session().await;
            let reading = tokio::time::Instant::now();
            while reading.elapsed() < Duration::from_secs(2) {
                run(&mut reader, "SELECT * FROM posts").await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            run(&mut old_reader, "COMMIT").await;
        };
        let both = async { tokio::join!(changed, served) };
        let (changed, ()) = tokio::time::timeout(LIMIT, both).await.expect("all wait for all");
        assert_eq!(changed.unwrap().applied.len(), 1);
    }
}

#[tokio::test]
async fn a_lock_that_is_never_given_ends_in_an_error_that_names_its_holder() {
    for sight in SIGHTS {
        let server = Server::start(sight);
        let database = Database::on(&server).await;
        database.expand(&migrations(&[POSTS])).await.unwrap();
        let mut reader = database.session().await;
        run(&mut reader, "BEGIN; SELECT * FROM posts").await;
        let limits = Limits { patience: Duration::from_secs(1), ..Limits::default() };
        for change in [CHANGE, "ALTER TABLE posts ADD INDEX by_id (id), ALGORITHM=INPLACE, LOCK=NONE"] {
            let (outcome, _) = database.expand_within(&migrations(&[POSTS, change]), &limits).await;
            let error = outcome.unwrap_err();
            let message = error.to_string();
            assert!(matches!(error, Error::Locked { tries: 2.., .. }) && error.retryable(), "{message}");
            let named = format!("session {} (", reader.id());
            assert!(message.contains(&named) && message.contains("idle in transaction"), "{message}");
            let begun = "SELECT COUNT(*) FROM cutover_ledger_migrations";
            assert_eq!(database.count(begun).await, 1, "an intent is left");
        }
    }
}

/// It holds nothing that is asked for, which the server shows. Others write all the time, so that a lock is never there at the
/// first touch.
#[tokio::test]
async fn an_old_transaction_that_is_not_in_the_way_holds_nothing_up() {
    let server = Server::start(SIGHTS[1]);
    let database = Database::on(&server).await;
    database.run("CREATE TABLE posts (id int); CREATE TABLE tags (id int)").await;
    let mut reader = database.session().await;
    run(&mut reader, "BEGIN; SELECT * FROM tags").await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut writer = database.session().await;
        writers.spawn(async move {
            loop {
                run(&mut writer, "BEGIN; INSERT INTO posts VALUES (1); DO SLEEP(0.02); COMMIT").await;
            }
        });
    }
    let trigger = "CREATE TRIGGER t BEFORE INSERT ON posts FOR EACH ROW SET NEW.id = 2";
    assert_eq!(database.expand(&migrations(&[trigger])).await.unwrap().applied.len(), 1);
    drop(writers);
    run(&mut reader, "SELECT * FROM tags; COMMIT").await;
}

#[tokio::test]
async fn blockers_are_ended_once_they_are_older_than_they_may_be_and_others_are_left_alone() {
    for sight in [SIGHTS[1], SIGHTS[2]] {
        let server = Server::start(sight);
        for at_work in [true, false] {
            let database = Database::on(&server).await;
            database.run("CREATE TABLE posts (id int); CREATE TABLE tags (id int)").await;
            let (mut blocker, mut other) = (database.session().await, database.session().await);
            run(&mut other, "BEGIN; SELECT * FROM tags").await;
            run(&mut blocker, "BEGIN; SELECT * FROM posts").await;
            let id = i64::from(blocker.id());
            let blocked = tokio::spawn(async move {
                let query = if at_work { "SELECT SLEEP(600)" } else { "SELECT 1" };
                let _ = blocker.query_drop(query).await;
                blocker
            });
            let limits = Limits { end_blockers: Some(Duration::from_secs(1)), ..Limits::default() };
            let (changed, mut told) = database.expand_within(&migrations(&[CHANGE]), &limits).await;
            assert_eq!(changed.unwrap().applied.len(), 1);
            let mut ended = Vec::new();
            while let Ok(progress) = told.try_recv() {
                if let Progress::Ended { blocker, closed: true } = progress {
                    ended.push((blocker.id, blocker.transaction.unwrap() > Duration::from_secs(1)));
                }
            }
            assert_eq!(ended, [(id, true)]);
            assert!(blocked.await.unwrap().query_drop("COMMIT").await.is_err());
            run(&mut other, "SELECT * FROM tags; COMMIT").await;
        }
    }
}

/// It isn't known which of the open transactions is in the way.
#[tokio::test]
async fn where_nobody_shows_who_is_in_the_way_nobody_is_ended() {
    let database = Database::new().await;
    database.run("CREATE TABLE posts (id int)").await;
    let mut reader = database.session().await;
    run(&mut reader, "BEGIN; SELECT * FROM posts").await;
    let limits = Limits {
        end_blockers: Some(Duration::from_millis(200)),
        patience: Duration::from_secs(2),
        ..Limits::default()
    };
    let (changed, _) = database.expand_within(&migrations(&[CHANGE]), &limits).await;
    assert!(matches!(changed, Err(Error::Locked { .. })), "{changed:?}");
    run(&mut reader, "SELECT * FROM posts; COMMIT").await;
}

#[tokio::test]
async fn a_row_that_somebody_has_is_waited_for_and_he_is_named() {
    let database = Database::new().await;
    database
        .run("CREATE TABLE posts (id int PRIMARY KEY, title text); INSERT INTO posts VALUES (1, 'a')")
        .await;
    let mut writer = database.session().await;
    run(&mut writer, "BEGIN; UPDATE posts SET title = 'b'").await;
    let change = migrations(&["UPDATE posts SET title = CONCAT(title, 'c') WHERE id = 1"]);
    let limits = Limits { patience: Duration::from_secs(1), ..Limits::default() };
    let (outcome, _) = database.expand_within(&change, &limits).await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains(&format!("session {} (", writer.id())), "{error}");
    run(&mut writer, "COMMIT").await;
    assert_eq!(database.expand(&change).await.unwrap().applied.len(), 1);
    assert_eq!(database.value::<String>("SELECT title FROM posts").await, "bc");
}
