//! All phases on a copy, before the database is touched.

use cutover_migrator::{Error, Step, Work};
use cutover_secrets::Secret;

use crate::rehearsed::{Copy, Way, all, rehearsed, rehearsed_and};
use crate::support::{Database, LIMIT, Server, run};

const EXPAND: &str = "ALTER TABLE users ADD COLUMN full_name varchar(40), ALGORITHM=INSTANT;";
const BACKFILL: &str = "-- cutover: table=users\n-- cutover: verify=full_name IS NULL\n\
                        UPDATE users SET full_name = name WHERE :batch AND full_name IS NULL;";
const CONTRACT: &str = "ALTER TABLE users DROP COLUMN name, ALGORITHM=INSTANT;";
const COLUMNS: &str = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'users'";

async fn pair() -> (Copy, Database) {
    let (copy, original) = (Copy::on(Server::start(&[])).await, Database::new().await);
    for database in [&copy.database, &original] {
        fill(database).await;
    }
    (copy, original)
}

async fn fill(database: &Database) {
    database.run("CREATE TABLE users (id bigint PRIMARY KEY, name varchar(40))").await;
    database.run("INSERT INTO users SELECT seq, CONCAT('name ', seq) FROM seq_1_to_2500").await;
}

fn work() -> Work {
    all(EXPAND, BACKFILL, CONTRACT)
}

#[tokio::test]
async fn all_phases_run_on_the_copy_and_none_on_the_database() {
    let (copy, original) = pair().await;
    let (ended, seen) = rehearsed(&copy.database.url, &original, &work(), LIMIT).await;
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
    let (ended, seen) = rehearsed(&fresh.database.url, &original, &work(), LIMIT).await;
    assert!(ended.is_ok() && seen.is_empty(), "what the database has needs no rehearsal: {seen:?}");
}

#[tokio::test]
async fn the_database_itself_is_no_copy_whatever_it_is_called() {
    let (_, original) = pair().await;
    let (called, way) = (original.url.expose(), Way::to(&original.url).await);
    let by_way = way.by(&original.url).expose().to_owned();
    for other in [called.to_owned(), called.replace("127.0.0.1", "localhost"), by_way] {
        let (ended, seen) = rehearsed(&Secret::new(other), &original, &work(), LIMIT).await;
        assert!(matches!(ended, Err(Error::NoCopy)) && seen.is_empty(), "{ended:?}");
        assert_eq!(original.count(COLUMNS).await, 2, "something was run on it");
    }
    // What a statement names with its database, or what is the whole server's, would be the original's there.
    let beside = Database::new().await;
    let (ended, seen) = rehearsed(&beside.url, &original, &work(), LIMIT).await;
    assert!(matches!(ended, Err(Error::NoCopy)) && seen.is_empty(), "{ended:?}");
}

/// A copy whose server has the same database, user and password, so that its name may come to lead to the original.
async fn twin() -> (Copy, Database, Way, Database) {
    let (copy, original) = pair().await;
    let (user, name) = original.url.expose().rsplit_once('/').unwrap();
    let password = user.split([':', '@']).nth(2).unwrap();
    let way = Way::to(&copy.database.url).await;
    let mut session = copy.database.session().await;
    run(&mut session, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
    for user in ["cutover@127.0.0.1", "cutover@localhost"] {
        run(&mut session, &format!("ALTER USER {user} IDENTIFIED BY '{password}'")).await;
    }
    let called = Database { url: way.by(&original.url) };
    fill(&called).await;
    (copy, original, way, called)
}

#[tokio::test]
async fn a_name_that_leads_to_the_database_meanwhile_is_noticed_before_anything_is_done_there() {
    let (copy, original, way, called) = twin().await;
    let mut reader = called.session().await;
    run(&mut reader, "BEGIN").await;
    run(&mut reader, "SELECT COUNT(*) FROM users").await;
    let moves = async || {
        way.lead_to(&original.url);
        run(&mut reader, "ROLLBACK").await;
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
    let mut reader = called.session().await;
    run(&mut reader, "BEGIN").await;
    run(&mut reader, "SELECT COUNT(*) FROM users").await;
    let ends = async || {
        let marked =
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        original.run(&format!("KILL {}", original.count(marked).await)).await;
        run(&mut reader, "ROLLBACK").await;
    };
    let (ended, seen) = rehearsed_and(&called.url, &original, &work(), LIMIT, ends).await;
    assert!(matches!(ended, Err(Error::Moved { .. })) && seen.len() == 1, "{ended:?} {seen:?}");
}

/// Why nothing was run on a copy.
async fn tied(copy: &Database, original: &Database) -> &'static str {
    let (ended, seen) = rehearsed(&copy.url, original, &work(), LIMIT).await;
    assert!(seen.is_empty(), "{seen:?}");
    match ended {
        Err(Error::Tied { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_replicates_or_is_replicated_from_is_no_copy() {
    let [one, other] = ["--server-id=21", "--server-id=22"].map(|id| Server::start(&[id, "--log-bin=log"]));
    let (copy, original) = (Database::on(&one).await, Database::on(&other).await);
    for database in [&copy, &original] {
        fill(database).await;
    }
    let (user, _) = copy.url.expose().rsplit_once('/').unwrap();
    let parts: Vec<_> = user.trim_start_matches("mysql://").split([':', '@']).collect();
    let from = format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_USER='cutover', MASTER_PASSWORD='{}', MASTER_PORT={}",
        parts[1], parts[3]
    );
    // It was never started: whose id is at the other end isn't known.
    original.run(&from).await;
    assert!(tied(&copy, &original).await.starts_with("the database replicates from it"));
    original.run("START SLAVE IO_THREAD").await;
    let dumps = "SELECT COUNT(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'";
    copy.until(dumps).await;
    assert_eq!(tied(&copy, &original).await, "another server replicates from it");
    original.run("STOP SLAVE").await;
    copy.run(&format!("KILL {}", copy.count(&dumps.replace("COUNT(*)", "id")).await)).await;
    copy.until(&format!("SELECT ({dumps}) = 0")).await;
    assert!(tied(&copy, &original).await.starts_with("the database replicates from it"));
    original.run("RESET SLAVE ALL").await;
    copy.run("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=9").await;
    assert_eq!(tied(&copy, &original).await, "it replicates from another server, or is set up to");
    copy.run("RESET SLAVE ALL").await;
    rehearsed(&copy.url, &original, &work(), LIMIT).await.0.unwrap();
}
