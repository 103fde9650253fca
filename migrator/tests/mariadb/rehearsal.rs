//! All phases on a copy, before the database is touched.

use cutover_core::{Phase, Rehearsed};
use cutover_migrator::{Error, Limits, Protocol, Step, Work, rehearse};
use cutover_secrets::Secret;
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, LIMIT, Server, phases};

const EXPAND: &str = "ALTER TABLE users ADD COLUMN full_name varchar(40), ALGORITHM=INSTANT;";
const BACKFILL: &str = "-- cutover: table=users\n-- cutover: verify=full_name IS NULL\n\
                        UPDATE users SET full_name = name WHERE :batch AND full_name IS NULL;";
const CONTRACT: &str = "ALTER TABLE users DROP COLUMN name, ALGORITHM=INSTANT;";
const COLUMNS: &str = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'users'";

async fn rehearsed(copy: &Secret, original: &Database, work: &Work) -> (Result<(), Error>, Vec<Rehearsed>) {
    let limits = Limits { hold: Some(LIMIT), ..Limits::default() };
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
    let server = Server::start(&[]);
    let (copy, original) =
        (Copy { database: Database::on(&server).await, _server: server }, Database::new().await);
    for database in [&copy.database, &original] {
        database.run("CREATE TABLE users (id bigint PRIMARY KEY, name varchar(40))").await;
        database.run("INSERT INTO users SELECT seq, CONCAT('name ', seq) FROM seq_1_to_2500").await;
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

#[tokio::test]
async fn all_phases_run_on_the_copy_and_none_on_the_database() {
    let (copy, original) = pair().await;
    let (ended, seen) = rehearsed(&copy.database.url, &original, &work()).await;
    ended.unwrap();
    let told: Vec<_> = seen.iter().map(|part| (part.migration.as_str(), part.rows)).collect();
    assert_eq!(told, [("001_change", 0), ("001_change.backfill", 2500), ("001_change.contract", 0)]);
    assert_eq!(copy.database.count("SELECT COUNT(full_name) FROM users").await, 2500);
    assert_eq!((copy.database.count(COLUMNS).await, original.count(COLUMNS).await), (2, 2));
    let ledger = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'cutover%'";
    assert_eq!(original.count(ledger).await, 0);

    for step in [Step::Expand, Step::Backfill, Step::Contract] {
        original.apply(step, &work()).await.unwrap();
    }
    let (fresh, _) = pair().await;
    let (ended, seen) = rehearsed(&fresh.database.url, &original, &work()).await;
    assert!(ended.is_ok() && seen.is_empty(), "what the database has needs no rehearsal: {seen:?}");
}

#[tokio::test]
async fn the_database_itself_is_no_copy_whatever_it_is_called() {
    let (_, original) = pair().await;
    let called = original.url.expose();
    for other in [called.to_owned(), called.replace("127.0.0.1", "localhost")] {
        let (ended, seen) = rehearsed(&Secret::new(other), &original, &work()).await;
        assert!(matches!(ended, Err(Error::NoCopy)) && seen.is_empty(), "{ended:?}");
        assert_eq!(original.count(COLUMNS).await, 2, "something was run on it");
    }
    // What a statement names with its database, or what is the whole server's, would be the original's there.
    let beside = Database::new().await;
    let (ended, seen) = rehearsed(&beside.url, &original, &work()).await;
    assert!(matches!(ended, Err(Error::NoCopy)) && seen.is_empty(), "{ended:?}");
}
