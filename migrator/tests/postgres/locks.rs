//! Locks that others hold, and others who wait.

use std::time::Duration;

use cutover_migrator::{Error, Limits, Progress, Step, apply};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, LIMIT, Server, connect, migrations};

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
    let changed = Box::pin(apply(&database.url, Step::Expand, &change, &limits, &progress));
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

/// A reader holds nothing that a trigger needs. Others write all the time, so that a lock is never there at the first touch.
#[tokio::test]
async fn an_old_transaction_that_is_not_in_the_way_holds_nothing_up() {
    let database = Database::new().await;
    let function = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
    database.expand(&migrations(&[POSTS, function])).await.unwrap();
    let reader = database.session().await;
    reader.batch_execute("BEGIN; SELECT * FROM posts").await.unwrap();
    let writers: Vec<_> = futures_util::future::join_all((0..3).map(|_| database.session())).await;
    let writers: tokio::task::JoinSet<()> = writers
        .into_iter()
        .map(|writer| async move {
            loop {
                let write = "BEGIN; INSERT INTO posts VALUES (1); SELECT pg_sleep(0.02); COMMIT";
                writer.batch_execute(write).await.unwrap();
            }
        })
        .collect();
    let trigger = "CREATE TRIGGER t BEFORE INSERT ON posts FOR EACH ROW EXECUTE FUNCTION f()";
    assert_eq!(database.expand(&migrations(&[POSTS, function, trigger])).await.unwrap().applied.len(), 1);
    drop(writers);
    reader.batch_execute("SELECT * FROM posts; COMMIT").await.unwrap();
}

#[tokio::test]
async fn blockers_are_ended_once_they_are_older_than_they_may_be_and_others_are_left_alone() {
    for at_work in [true, false] {
        let database = Database::new().await;
        database.expand(&migrations(&[POSTS, "CREATE TABLE tags (id int)"])).await.unwrap();
        let (blocker, other) = (database.session().await, database.session().await);
        other.batch_execute("BEGIN; SELECT * FROM tags").await.unwrap();
        blocker.batch_execute("SET application_name = 'report'; BEGIN; SELECT * FROM posts").await.unwrap();
        let blocked = tokio::spawn(async move {
            let query = if at_work { "SELECT pg_sleep(600)" } else { "SELECT 1" };
            let ended = blocker.batch_execute(query).await;
            (ended.is_err(), blocker)
        });
        let limits = Limits { end_blockers: Some(Duration::from_secs(1)), ..Limits::default() };
        let change = migrations(&[POSTS, "CREATE TABLE tags (id int)", CHANGE]);
        let (changed, mut told) = database.expand_within(&change, &limits).await;
        assert_eq!(changed.unwrap().applied.len(), 1);
        let mut ended = Vec::new();
        while let Ok(progress) = told.try_recv() {
            if let Progress::Ended { blocker, closed } = progress {
                assert_eq!(closed, !at_work);
                ended.push((blocker.application, blocker.transaction.unwrap() > Duration::from_secs(1)));
            }
        }
        assert_eq!(ended, [(Some("report".to_owned()), true)]);
        let (cancelled, blocker) = blocked.await.unwrap();
        assert_eq!(cancelled, at_work);
        assert_eq!(
            blocker.batch_execute("ROLLBACK").await.is_ok(),
            at_work,
            "what is idle can only be closed"
        );
        other.batch_execute("SELECT * FROM tags; COMMIT").await.unwrap();
    }
}

/// What stood before its savepoint keeps its locks.
#[tokio::test]
async fn a_blocker_whose_query_is_cancelled_to_no_avail_is_closed() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS])).await.unwrap();
    let blocker = database.session().await;
    let begun = "SET application_name = 'stubborn'; BEGIN; SELECT * FROM posts; SAVEPOINT s";
    blocker.batch_execute(begun).await.unwrap();
    let blocked = tokio::spawn(async move {
        while blocker.batch_execute("SELECT pg_sleep(600)").await.is_err()
            && blocker.batch_execute("ROLLBACK TO s").await.is_ok()
        {}
        blocker.is_closed()
    });
    let limits = Limits { end_blockers: Some(Duration::from_millis(500)), ..Limits::default() };
    let (changed, mut told) = database.expand_within(&migrations(&[POSTS, CHANGE]), &limits).await;
    assert_eq!(changed.unwrap().applied.len(), 1);
    let mut ended = Vec::new();
    while let Ok(progress) = told.try_recv() {
        if let Progress::Ended { blocker, closed } = &progress {
            let text = progress.to_string();
            assert!(text.contains("stubborn") && !text.contains("pg_sleep"), "{text}");
            ended.push((blocker.application.clone(), *closed));
        }
    }
    let stubborn = || Some("stubborn".to_owned());
    assert_eq!(ended, [(stubborn(), false), (stubborn(), true)]);
    assert!(blocked.await.unwrap());
}

/// Without that, a change would have to wait until all of a large table is vacuumed: autovacuum gives way only to those who
/// wait longer than a change may.
#[tokio::test]
async fn autovacuum_gives_way() {
    let server = Server::start();
    let database = Database::on(&server).await;
    let naps = "ALTER SYSTEM SET autovacuum_naptime = '1s'";
    connect(server.url()).await.batch_execute(naps).await.unwrap();
    connect(server.url()).await.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    // At one page every 100 ms it takes minutes.
    let slow = "CREATE TABLE posts (id int, filler text) WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
        INSERT INTO posts SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) n;";
    database.expand(&migrations(&[slow])).await.unwrap();
    database.session().await.batch_execute("DELETE FROM posts WHERE id % 2 = 0").await.unwrap();
    database
        .until(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) \
             WHERE relation = 'posts'::regclass AND backend_type = 'autovacuum worker' AND granted)",
        )
        .await;
    assert_eq!(database.expand(&migrations(&[slow, CHANGE])).await.unwrap().applied.len(), 1);
}
