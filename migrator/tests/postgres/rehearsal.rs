//! All phases on a copy, before the database is touched.

use std::time::Duration;

use cutover_core::Phase;
use cutover_migrator::{Error, Step, Work};
use cutover_secrets::Secret;

use crate::rehearsed::{Copy, Way, all, rehearsed, rehearsed_and};
use crate::support::{Database, LIMIT, Server, phases};

const USERS: &str = "CREATE TABLE users (id bigint PRIMARY KEY, name text); \
                     INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 2500) n;";
/// Two tables are locked; that it makes itself is in nobody's way.
const EXPAND: &str =
    "ALTER TABLE users ADD COLUMN full_name text; CREATE TABLE fresh (id int); LOCK TABLE fresh;";
const BACKFILL: &str = "-- cutover: table=users\n-- cutover: verify=full_name IS NULL\n\
                        UPDATE users SET full_name = name WHERE :batch AND full_name IS NULL;";
const CONTRACT: &str = "ALTER TABLE users DROP COLUMN name;";

async fn pair() -> (Copy, Database) {
    let (copy, original) = (Copy::on(Server::start()).await, Database::new().await);
    for database in [&copy.database, &original] {
        database.session().await.batch_execute(USERS).await.unwrap();
    }
    (copy, original)
}

fn work() -> Work {
    all(EXPAND, BACKFILL, CONTRACT)
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
    let (called, way) = (original.url.expose(), Way::to(&original.url).await);
    for other in [
        called.to_owned(),
        called.replace("127.0.0.1", "localhost"),
        format!("{called}?connect_timeout=5"),
        way.by(&original.url).expose().to_owned(),
    ] {
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

/// A copy whose server has the same database, user and password, so that its name may come to lead to the original.
async fn twin() -> (Copy, Database, Way, Database) {
    let (copy, original) = pair().await;
    let (user, name) = original.url.expose().rsplit_once('/').unwrap();
    let password = user.split([':', '@']).nth(2).unwrap();
    let session = copy.database.session().await;
    session.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let way = Way::to(&copy.database.url).await;
    session.batch_execute(&format!("ALTER USER cutover PASSWORD '{password}'")).await.unwrap();
    let called = Database { url: way.by(&original.url) };
    called.session().await.batch_execute(USERS).await.unwrap();
    (copy, original, way, called)
}

#[tokio::test]
async fn a_name_that_leads_to_the_database_meanwhile_is_noticed_before_anything_is_done_there() {
    let (copy, original, way, called) = twin().await;
    let reader = called.session().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM users").await.unwrap();
    let moves = async || {
        way.lead_to(&original.url);
        reader.batch_execute("ROLLBACK").await.unwrap();
    };
    let (ended, seen) = rehearsed_and(&called.url, &original, &work(), LIMIT, moves).await;
    assert!(matches!(ended, Err(Error::NoCopy)), "{ended:?}");
    assert_eq!((seen.len(), original.count(COLUMNS).await), (1, 2), "{seen:?}");
    way.lead_to(&copy.database.url);
    assert_eq!(called.count(COLUMNS).await, 3, "the expand was on the copy");
}

#[tokio::test]
async fn without_its_mark_a_rehearsal_does_not_go_on() {
    let (_copy, original, _way, called) = twin().await;
    let reader = called.session().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM users").await.unwrap();
    let ends = async || {
        let marked = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks \
            WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(original.count(marked).await, 1);
        reader.batch_execute("ROLLBACK").await.unwrap();
    };
    let (ended, seen) = rehearsed_and(&called.url, &original, &work(), LIMIT, ends).await;
    assert!(matches!(ended, Err(Error::Moved { .. })) && seen.len() == 1, "{ended:?} {seen:?}");
}

#[tokio::test]
async fn what_autovacuum_takes_to_give_way_is_not_held_against_a_migration() {
    let (copy, original) = pair().await;
    let session = copy.database.session().await;
    session.batch_execute("ALTER SYSTEM SET autovacuum_naptime = '1s'").await.unwrap();
    // At one page every 100 ms it takes minutes; it gives way to who has waited for a second.
    session.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let slow = "ALTER TABLE users SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
        INSERT INTO users SELECT n, repeat('x', 1000) FROM generate_series(10000, 30000) n; DELETE FROM users WHERE id % 2 = 0";
    session.batch_execute(slow).await.unwrap();
    copy.database
        .until(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) \
             WHERE relation = 'users'::regclass AND backend_type = 'autovacuum worker' AND granted)",
        )
        .await;
    let work = phases(&[("001", Phase::Expand, "ALTER TABLE users ADD COLUMN full_name text;")]);
    let (ended, seen) = rehearsed(&copy.database.url, &original, &work, Duration::from_millis(500)).await;
    ended.unwrap();
    let lock = &seen[0].locks[0];
    assert!(lock.held < seen[0].took, "{seen:?}");
}
