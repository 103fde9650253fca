//! All phases on a copy, before the database is touched.

use std::time::Duration;

use cutover_core::{Phase, Rehearsed};
use cutover_migrator::{Error, Limits, Protocol, Step, Work, rehearse};
use cutover_secrets::Secret;
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, LIMIT, Server, phases};

const USERS: &str = "CREATE TABLE users (id bigint PRIMARY KEY, name text); \
                     INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 2500) n;";
/// Two tables are locked; that it makes itself is in nobody's way.
const EXPAND: &str =
    "ALTER TABLE users ADD COLUMN full_name text; CREATE TABLE fresh (id int); LOCK TABLE fresh;";
const BACKFILL: &str = "-- cutover: table=users\n-- cutover: verify=full_name IS NULL\n\
                        UPDATE users SET full_name = name WHERE :batch AND full_name IS NULL;";
const CONTRACT: &str = "ALTER TABLE users DROP COLUMN name;";

async fn rehearsed(
    copy: &Secret,
    original: &Database,
    work: &Work,
    hold: Duration,
) -> (Result<(), Error>, Vec<Rehearsed>) {
    let limits = Limits { hold: Some(hold), ..Limits::default() };
    let (progress, mut told) = unbounded_channel();
    let run = rehearse(copy.into(), (&original.url).into(), work, &limits, &progress);
    let ended = Box::pin(tokio::time::timeout(LIMIT, run)).await.expect("it never ended");
    drop(progress);
    let mut protocol = Protocol::default();
    while let Some(event) = told.recv().await {
        protocol.hear(&event);
    }
    (ended, protocol.done())
}

/// On a server of its own.
struct Copy {
    database: Database,
    _server: Server,
}

async fn pair() -> (Copy, Database) {
    let server = Server::start();
    let (copy, original) =
        (Copy { database: Database::on(&server).await, _server: server }, Database::new().await);
    for database in [&copy.database, &original] {
        database.session().await.batch_execute(USERS).await.unwrap();
    }
    (copy, original)
}

fn work() -> Work {
    phases(&[
        ("001", Phase::Expand, EXPAND),
        ("001", Phase::Backfill, BACKFILL),
        ("001", Phase::Contract, CONTRACT),
    ])
}

const COLUMNS: &str = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped";

#[tokio::test]
async fn all_phases_run_on_the_copy_and_none_on_the_database() {
    let (copy, original) = pair().await;
    let (ended, seen) = rehearsed(&copy.database.url, &original, &work(), LIMIT).await;
    ended.unwrap();
    let told: Vec<_> =
        seen.iter().map(|part| (part.migration.as_str(), part.rows, part.locks.len())).collect();
    assert_eq!(told, [("001_change", 0, 1), ("001_change.backfill", 2500, 0), ("001_change.contract", 0, 1)]);
    for part in [&seen[0], &seen[2]] {
        let lock = &part.locks[0];
        assert_eq!((lock.table.as_str(), lock.mode.as_str()), ("users", "AccessExclusiveLock"));
        assert!(lock.held <= part.took, "{part:?}");
    }
    assert_eq!(copy.database.count("SELECT count(full_name) FROM users").await, 2500);
    assert_eq!(copy.database.count(COLUMNS).await, 2, "the old column is gone");
    assert_eq!(original.count(COLUMNS).await, 2, "and here there is no new one");
    let ledger = "SELECT count(*) FROM pg_namespace WHERE nspname = 'cutover_ledger'";
    assert_eq!(original.count(ledger).await, 0);
    // Asked for again, as by a replay, it has nothing to do.
    let (ended, seen) = rehearsed(&copy.database.url, &original, &work(), LIMIT).await;
    assert!(ended.is_ok() && seen.iter().all(|part| part.rows == 0), "{seen:?}");
}

#[tokio::test]
async fn what_the_database_has_needs_no_rehearsal() {
    let (copy, original) = pair().await;
    for step in [Step::Expand, Step::Backfill, Step::Contract] {
        original.apply(step, &work()).await.unwrap();
    }
    let (ended, seen) = rehearsed(&copy.database.url, &original, &work(), LIMIT).await;
    assert!(ended.is_ok() && seen.is_empty(), "{seen:?}");
    assert_eq!(copy.database.count("SELECT count(*) FROM pg_class WHERE relname = 'fresh'").await, 0);
}

#[tokio::test]
async fn the_database_itself_is_no_copy_whatever_it_is_called() {
    let (_, original) = pair().await;
    let called = original.url.expose();
    for other in
        [called.to_owned(), called.replace("127.0.0.1", "localhost"), format!("{called}?connect_timeout=5")]
    {
        let (ended, seen) = rehearsed(&Secret::new(other), &original, &work(), LIMIT).await;
        assert!(matches!(ended, Err(Error::NoCopy)) && seen.is_empty(), "{ended:?}");
        assert_eq!(original.count(COLUMNS).await, 2, "something was run on it");
    }
    // What a statement names with its database, or what is the whole server's, would be the original's there.
    let beside = Database::new().await;
    let (ended, seen) = rehearsed(&beside.url, &original, &work(), LIMIT).await;
    assert!(matches!(ended, Err(Error::NoCopy)) && seen.is_empty(), "{ended:?}");
}

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_fails_and_is_judged_again() {
    let (copy, original) = pair().await;
    let slow = "ALTER TABLE users ADD COLUMN full_name text;\nSELECT pg_sleep(0.3);";
    let slow = phases(&[("001", Phase::Expand, slow)]);
    for _ in 0..2 {
        let (ended, seen) = rehearsed(&copy.database.url, &original, &slow, Duration::from_millis(100)).await;
        let error = ended.unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("migration 001_change held AccessExclusiveLock of users for 3"), "{said}");
        assert!(said.ends_with(", and may for 100ms") && !error.retryable() && seen.is_empty(), "{said}");
        assert_eq!(copy.database.count(COLUMNS).await, 2, "it was committed");
    }
    // As long as it takes, for those who are in nobody's way.
    let harmless = phases(&[("001", Phase::Expand, "CREATE TABLE fresh (id int);\nSELECT pg_sleep(0.3);")]);
    rehearsed(&copy.database.url, &original, &harmless, Duration::from_millis(100)).await.0.unwrap();
}
