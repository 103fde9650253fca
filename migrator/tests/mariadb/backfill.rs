//! Rows that are brought over in batches.

use std::time::Duration;

use cutover_core::Phase;
use cutover_migrator::ledger::Refusal;
use cutover_migrator::{Error, Limits, Progress, Step, Work, apply};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, LIMIT, Server, phases, run};

/// A table with a key of some kind, filled with so many rows.
fn table(key: &str, columns: &str, values: &str, rows: u32) -> String {
    let fill = match rows {
        0 => String::new(),
        rows => {
            format!("\nINSERT INTO posts SELECT {values}, CONCAT('x', seq), NULL, 0 FROM seq_1_to_{rows};")
        }
    };
    format!(
        "CREATE TABLE posts ({columns}, old text NOT NULL, new text, visits int NOT NULL DEFAULT 0, PRIMARY KEY ({key}));{fill}"
    )
}

/// What can't be done twice unnoticed.
const FILL: &str = "-- cutover: table=posts\n-- cutover: batch=100\n-- cutover: verify=new IS NULL\n\
    UPDATE posts SET new = upper(old), visits = visits + 1 WHERE :batch;";

fn work(table: &str, fill: &str) -> Work {
    phases(&[("001", Phase::Expand, table), ("001", Phase::Backfill, fill)])
}

fn numbered(rows: u32) -> String {
    table("id", "id bigint", "seq", rows)
}

const DONE: &str = "SELECT COUNT(*) FROM posts WHERE new = upper(old) AND visits = 1";

#[tokio::test]
async fn rows_are_brought_over_once_along_every_kind_of_key() {
    for (key, columns, values) in [
        ("id", "id bigint", "seq"),
        ("id", "id bigint unsigned", "18446744073709551615 - seq"),
        ("id", "id int", "cast(seq AS signed) - 600"),
        ("id", "id decimal(20, 4)", "seq / 3"),
        ("id", "id uuid", "uuid()"),
        ("id", "id binary(16)", "unhex(md5(seq))"),
        ("id", "id varbinary(40)", "concat('\\0,', unhex(hex(seq)))"),
        (
            "id",
            "id varchar(40) COLLATE utf8mb4_unicode_ci",
            "concat('\\\\ ''é', char(65 + seq % 50), '\\n,', seq)",
        ),
        ("id", "id varchar(40) CHARACTER SET latin1", "concat('ü', seq % 90, 'ß', seq)"),
        ("id", "id varchar(40) COLLATE utf8mb4_bin", "concat(if(seq % 2, 'a', 'A'), seq)"),
        ("code", "code char(8)", "concat('c', seq)"),
        ("at", "at datetime(6)", "'2024-03-31 00:00:00' + interval seq * 1000001 microsecond"),
        (
            "at",
            "at timestamp(6) DEFAULT '2024-01-01'",
            "'2024-10-27 00:30:00' + interval seq * 4000001 microsecond",
        ),
        ("day", "day date", "'2024-01-01' + interval seq day"),
        (
            "tenant, `Id`",
            "tenant uuid, `Id` bigint",
            "cast(concat('0000000', seq % 3, '-0000-4000-8000-000000000000') as uuid), seq",
        ),
        (
            "a, b, c",
            "a int, b varchar(20), c varbinary(8)",
            "seq % 2, concat('b', seq % 7), unhex(lpad(hex(seq), 8, '0'))",
        ),
    ] {
        let database = Database::new().await;
        let work = work(&table(key, columns, values, 1_234), FILL);
        database.expand(&work).await.unwrap();
        let filled = database.apply(Step::Backfill, &work).await;
        assert_eq!(filled.unwrap().applied.len(), 1, "{columns}");
        assert_eq!(database.count(DONE).await, 1_234, "{columns}");
        assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().already, 1);
    }
}

/// The server would read the whole table for each batch otherwise.
#[tokio::test]
async fn a_batch_reads_no_more_rows_than_it_has() {
    let values = "seq % 5, concat('b', seq)";
    let work = work(&table("a, b", "a int, b varchar(20)", values, 20_000), FILL);
    let read = "SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status WHERE variable_name = 'rows_read'";
    let server = Server::start(&[]);
    let alone = Database::on(&server).await;
    alone.expand(&work).await.unwrap();
    alone.run("ANALYZE TABLE posts").await;
    let before = alone.count(read).await;
    alone.apply(Step::Backfill, &work).await.unwrap();
    // To find the end of a batch and sort what was found, to change it, and all once more at the end. To read the table for each
    // of a hundred batches would be millions.
    let rows = alone.count(read).await - before;
    assert!(rows < 10 * 20_000, "{rows} rows were read");
    assert_eq!(alone.count(DONE).await, 20_000);
}

#[tokio::test]
async fn rows_that_an_older_version_has_written_since_are_brought_over_when_it_is_asked_for_again() {
    let database = Database::new().await;
    let fill = FILL.replace(":batch", ":batch AND new IS NULL");
    let work = work(&numbered(500), &fill);
    database.expand(&work).await.unwrap();
    database.apply(Step::Backfill, &work).await.unwrap();
    for again in 1..=4 {
        // Some of them among those that were brought over.
        database
            .run(&format!(
                "INSERT INTO posts (id, old) SELECT {again} * 1000 * IF(seq % 2, -1, 1) + CAST(seq AS signed), CONCAT('y', seq) FROM seq_1_to_100"
            ))
            .await;
        let applied = database.apply(Step::Backfill, &work).await.unwrap();
        assert_eq!((applied.applied.len(), applied.already), (1, 0));
        assert_eq!(database.count(DONE).await, 500 + 100 * again);
    }
    assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().already, 1);
}

#[tokio::test]
async fn an_empty_table_is_done() {
    let database = Database::new().await;
    let work = work(&numbered(0), FILL);
    database.expand(&work).await.unwrap();
    assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().applied.len(), 1);
}

#[tokio::test]
async fn another_table_is_filled_from_one_that_is_walked_through() {
    let database = Database::new().await;
    let tables = format!("{}\nCREATE TABLE titles (post bigint PRIMARY KEY, title text);", numbered(500));
    let fill = "-- cutover: table=posts\n-- cutover: verify=NOT EXISTS (SELECT * FROM titles t WHERE t.post = p.id) -- of p\n\
        INSERT IGNORE INTO titles SELECT p.id, p.old FROM posts p WHERE :batch";
    let work = work(&tables, fill);
    database.expand(&work).await.unwrap();
    database.apply(Step::Backfill, &work).await.unwrap();
    assert_eq!(database.count("SELECT COUNT(*) FROM titles").await, 500);
}

#[tokio::test]
async fn what_the_new_version_reads_is_brought_over_before_it_gets_traffic() {
    let table = numbered(50);
    let early = FILL.replace("-- cutover: batch=100", "-- cutover: before=switch");
    for (fill, before, after) in [(FILL, 0, 1), (early.as_str(), 1, 0)] {
        let database = Database::new().await;
        let work = work(&table, fill);
        database.expand(&work).await.unwrap();
        assert_eq!(database.apply(Step::BackfillBeforeSwitch, &work).await.unwrap().applied.len(), before);
        assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().applied.len(), after);
    }
    let database = Database::new().await;
    let error = database.apply(Step::Backfill, &work(&table, FILL)).await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::Early { .. })), "{error}");
}

#[tokio::test]
async fn a_key_that_would_leave_rows_out_or_read_the_whole_table_is_refused() {
    let database = Database::new().await;
    let table = format!(
        "{}\nALTER TABLE posts ADD other int UNIQUE, ADD more int NOT NULL DEFAULT 0, ADD part varchar(90) NOT NULL DEFAULT '', \
         ADD share double NOT NULL DEFAULT 0, ADD KEY (part(3)), ADD KEY (share), ADD KEY two (more DESC, id);\n\
         CREATE TABLE keyless (id int, new int);\nCREATE TABLE loose (id int PRIMARY KEY, new int) ENGINE=Aria;",
        numbered(5)
    );
    for (headers, why) in [
        ("table=posts\n-- cutover: key=nothing", "no column nothing"),
        ("table=posts\n-- cutover: key=other", "may be NULL"),
        ("table=posts\n-- cutover: key=new", "may be NULL"),
        ("table=posts\n-- cutover: key=visits", "no index begins with visits"),
        ("table=posts\n-- cutover: key=more, id", "no index begins with more, id"),
        ("table=posts\n-- cutover: key=part", "no index begins with part"),
        ("table=posts\n-- cutover: key=share", "is a double"),
        ("table=keyless", "no primary key"),
        ("table=loose", "isn't InnoDB"),
        ("table=nowhere", "no such table"),
    ] {
        let name = headers.split_once('\n').map_or(headers, |(first, _)| first).trim_start_matches("table=");
        let fill = format!(
            "-- cutover: {headers}\n-- cutover: verify=new IS NULL\nUPDATE {name} SET new = '1' WHERE :batch"
        );
        let work = work(&table, &fill);
        database.expand(&work).await.unwrap();
        let error = database.apply(Step::Backfill, &work).await.unwrap_err();
        assert!(matches!(error, Error::Key { .. }) && !error.retryable(), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        database
            .run("DELETE FROM cutover_ledger_migrations WHERE phase = 'backfill'; DELETE FROM cutover_ledger_parts WHERE phase = 'backfill'")
            .await;
    }
}

#[tokio::test]
async fn rows_that_the_statement_passes_over_are_an_error_that_counts_them() {
    let database = Database::new().await;
    let fill = FILL.replace("WHERE :batch", "WHERE :batch AND id <> 7").replace(", visits = visits + 1", "");
    let work = work(&numbered(300), &fill);
    database.expand(&work).await.unwrap();
    let (outcome, mut told) = database.apply_within(Step::Backfill, &work, &Limits::default()).await;
    let error = outcome.unwrap_err();
    assert!(matches!(&error, Error::Unverified { left, rounds: 3, .. } if left == "1"), "{error}");
    let mut again = 0;
    while let Ok(progress) = told.try_recv() {
        again += usize::from(matches!(progress, Progress::Again { .. }));
    }
    assert_eq!(again, 2);
}

#[tokio::test]
async fn a_statement_that_fails_names_its_file_and_line() {
    let database = Database::new().await;
    let fill = FILL.replace("upper(old)", "upper(olde)");
    let work = work(&numbered(10), &fill);
    database.expand(&work).await.unwrap();
    let error = database.apply(Step::Backfill, &work).await.unwrap_err();
    assert!(error.to_string().contains("001_change.backfill, line 4: Unknown column 'olde'"), "{error}");
}

/// The row that is locked is met in each batch that has it, until batches are small and its holder is gone.
#[tokio::test]
async fn a_batch_gives_way_to_whoever_has_one_of_its_rows() {
    let database = Database::new().await;
    let work = work(&numbered(1_000), FILL);
    database.expand(&work).await.unwrap();
    let mut writer = database.session().await;
    run(&mut writer, "BEGIN; UPDATE posts SET old = 'held' WHERE id = 500").await;
    let (progress, mut told) = tokio::sync::mpsc::unbounded_channel();
    let limits = Limits::default();
    let filled = cutover_migrator::apply(&database.url, Step::Backfill, &work, &limits, &progress);
    let given_way = async {
        let mut named = false;
        let mut smallest = u32::MAX;
        while !named || smallest > 10 {
            if let Progress::GaveWay { batch, blockers, .. } = told.recv().await.unwrap() {
                named |= blockers.0.iter().any(|backend| backend.id == i64::from(writer.id()));
                smallest = batch;
            }
        }
        run(&mut writer, "COMMIT").await;
    };
    let both = Box::pin(async { tokio::join!(filled, given_way) });
    let (filled, ()) = tokio::time::timeout(LIMIT, both).await.expect("it never gave way");
    assert_eq!(filled.unwrap().applied.len(), 1);
    assert_eq!(database.count(DONE).await, 1_000);
}

/// Both are alive: the earlier one finds that it may not go on.
#[tokio::test]
async fn whoever_has_the_later_claim_goes_on_from_where_the_earlier_one_was() {
    let database = Database::new().await;
    let mut earlier = work(&numbered(20_000), FILL);
    database.expand(&earlier).await.unwrap();
    earlier.epoch.sequence = 8;
    let mut later = earlier.clone();
    later.epoch.sequence = 9;
    let slow = Limits { rest: 20.0, batch: Duration::from_millis(2), ..Limits::default() };
    let (first, second) = tokio::join!(database.apply_within(Step::Backfill, &earlier, &slow), async {
        database.until("SELECT COUNT(*) FROM cutover_ledger_backfills WHERE rows_walked > 0").await;
        database.apply_within(Step::Backfill, &later, &Limits::default()).await
    });
    let (first, second) = (first.0.unwrap_err(), second.0.unwrap());
    // Ended by the later one, or told by the ledger, whichever comes first.
    assert!(matches!(first, Error::Refused(Refusal::Stale { .. })) || first.retryable(), "{first}");
    assert_eq!(second.applied.len(), 1);
    assert_eq!(database.count(DONE).await, 20_000);
    let stale = database.apply(Step::Backfill, &earlier).await.unwrap_err();
    assert!(matches!(stale, Error::Refused(Refusal::Stale { .. })), "{stale}");
}

#[tokio::test]
async fn other_services_have_their_turn_while_rows_are_brought_over() {
    let database = Database::new().await;
    let work = work(&numbered(10_000), FILL);
    database.expand(&work).await.unwrap();
    // Slow by its pauses, and not by batches that a busy machine would make ever smaller.
    let slow = Limits { rest: 10.0, batch: Duration::from_millis(50), ..Limits::default() };
    let mut other = phases(&[("001", Phase::Expand, "CREATE TABLE invoices (id int)")]);
    other.service = "billing".parse().unwrap();
    let filled = database.apply_within(Step::Backfill, &work, &slow);
    let changed = async {
        database.until("SELECT COUNT(*) FROM cutover_ledger_backfills WHERE rows_walked > 0").await;
        let changed = database.expand(&other).await.unwrap();
        let done = "SELECT COUNT(*) FROM cutover_ledger_migrations WHERE phase = 'backfill' AND finished_at IS NOT NULL";
        (changed.applied.len(), database.count(done).await)
    };
    let (filled, changed) = tokio::join!(Box::pin(filled), Box::pin(changed));
    assert_eq!((filled.0.unwrap().applied.len(), changed), (1, (1, 0)));
}

#[tokio::test]
async fn each_row_is_counted_once() {
    let database = Database::new().await;
    let work = work(&numbered(20_000), &FILL.replace("batch=100", "batch=1000"));
    database.expand(&work).await.unwrap();
    let (applied, mut told) = database.apply_within(Step::Backfill, &work, &Limits::default()).await;
    applied.unwrap();
    let mut last = 0;
    while let Ok(event) = told.try_recv() {
        if let Progress::Filled { rows, .. } = event {
            last = rows;
        }
    }
    assert_eq!(last, 20_000);
    assert_eq!(database.count(DONE).await, 20_000);
}

/// Batches would lock the gaps between rows, where others insert.
#[tokio::test]
async fn a_server_that_logs_rows_as_statements_is_refused_a_backfill_and_nothing_else() {
    let server = Server::start(&["--log-bin", "--binlog-format=STATEMENT", "--server-id=7"]);
    let database = Database::on(&server).await;
    let work = work(&numbered(10), FILL);
    database.expand(&work).await.unwrap();
    let error = database.apply(Step::Backfill, &work).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }) && error.to_string().contains("STATEMENT"), "{error}");
}

/// Without that, it would go on until the server holds up all who write. This one writes no data before it must.
#[tokio::test]
async fn a_backfill_waits_while_the_redo_log_is_nearly_full() {
    let server = Server::start(&[
        "--innodb-log-file-size=4M",
        "--innodb-adaptive-flushing=OFF",
        "--innodb-max-dirty-pages-pct=99.9",
        "--innodb-max-dirty-pages-pct-lwm=0",
    ]);
    let database = Database::on(&server).await;
    let work = work(&numbered(6_000), &FILL.replace("upper(old)", "repeat(upper(old), 100)"));
    database.expand(&work).await.unwrap();
    let (progress, mut told) = unbounded_channel();
    let limits = Limits::default();
    let filled = Box::pin(apply(&database.url, Step::Backfill, &work, &limits, &progress));
    let flushed = async {
        loop {
            if let Some(Progress::Flushing { percent, .. }) = told.recv().await {
                assert!(percent >= 75, "{percent}");
                break;
            }
        }
        database.run("SET GLOBAL innodb_max_dirty_pages_pct = 0").await;
    };
    let both = async { tokio::join!(filled, Box::pin(flushed)) };
    let (filled, ()) = tokio::time::timeout(LIMIT, both).await.expect("it never waited");
    assert_eq!(filled.unwrap().applied.len(), 1);
    assert_eq!(database.count("SELECT COUNT(*) FROM posts WHERE new IS NULL OR visits <> 1").await, 0);
}
