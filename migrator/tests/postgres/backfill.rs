//! Rows that are brought over in batches.

use std::time::Duration;

use cutover_core::Phase;
use cutover_migrator::ledger::Refusal;
use cutover_migrator::{Error, Limits, Progress, Step, Work};

use crate::support::{Database, Server, connect, phases};

/// A table with a key of some kind, filled with so many rows.
fn table(key: &str, columns: &str, values: &str, rows: u32) -> String {
    format!(
        "CREATE TABLE posts ({columns}, old text NOT NULL, new text, visits int NOT NULL DEFAULT 0, PRIMARY KEY ({key}));\n\
         INSERT INTO posts SELECT {values}, 'x' || n FROM generate_series(1, {rows}) n;"
    )
}

/// What can't be done twice unnoticed.
const FILL: &str = "-- cutover: table=posts\n-- cutover: batch=100\n-- cutover: verify=new IS NULL\n\
    UPDATE posts SET new = upper(old), visits = visits + 1 WHERE :batch;";

fn work(table: &str, fill: &str) -> Work {
    phases(&[("001", Phase::Expand, table), ("001", Phase::Backfill, fill)])
}

const DONE: &str = "SELECT count(*) FROM posts WHERE new = upper(old) AND visits = 1";

#[tokio::test]
async fn rows_are_brought_over_once_along_every_kind_of_key() {
    for (key, columns, values) in [
        ("id", "id bigint", "n"),
        ("id", "id uuid", "gen_random_uuid()"),
        ("id", "id text COLLATE \"en-x-icu\"", "E'\\\\ ''é' || chr(65 + n % 50) || E'\\n' || n"),
        ("name", "name varchar(20)", "'n' || n"),
        ("code", "code char(8)", "'c' || n"),
        ("at", "at timestamptz", "now() - n * interval '1.000001 seconds'"),
        ("tenant, \"Id\"", "tenant uuid, \"Id\" bigint", "md5((n % 3)::text)::uuid, n"),
        ("a, b, c", "a int, b text, c bytea", "n % 2, 'b' || n % 7, decode(lpad(to_hex(n), 8, '0'), 'hex')"),
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

#[tokio::test]
async fn rows_that_an_older_version_has_written_since_are_brought_over_when_it_is_asked_for_again() {
    let database = Database::new().await;
    let fill = FILL.replace(":batch", ":batch AND new IS NULL");
    let work = work(&table("id", "id bigint", "n", 500), &fill);
    database.expand(&work).await.unwrap();
    database.apply(Step::Backfill, &work).await.unwrap();
    for again in 1..=4 {
        // Some of them among those that were brought over.
        let rows = format!(
            "INSERT INTO posts SELECT {again} * 1000 * (1 - 2 * (n % 2)) + n, 'y' || n FROM generate_series(1, 100) n"
        );
        database.session().await.batch_execute(&rows).await.unwrap();
        let applied = database.apply(Step::Backfill, &work).await.unwrap();
        assert_eq!((applied.applied.len(), applied.already), (1, 0));
        assert_eq!(database.count(DONE).await, 500 + 100 * again);
    }
    assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().already, 1);
}

#[tokio::test]
async fn an_empty_table_is_done() {
    let database = Database::new().await;
    let work = work(&table("id", "id bigint", "n", 0), FILL);
    database.expand(&work).await.unwrap();
    assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().applied.len(), 1);
}

#[tokio::test]
async fn another_table_is_filled_from_one_that_is_walked_through() {
    let database = Database::new().await;
    let tables = format!(
        "{} CREATE TABLE titles (post bigint PRIMARY KEY, title text);",
        table("id", "id bigint", "n", 500)
    );
    let fill = "-- cutover: table=posts\n-- cutover: verify=NOT EXISTS (SELECT FROM titles t WHERE t.post = p.id) -- of p\n\
        INSERT INTO titles SELECT p.id, p.old FROM public.posts p WHERE :batch ON CONFLICT DO NOTHING";
    let work = work(&tables, &fill.replace("public.", ""));
    database.expand(&work).await.unwrap();
    database.apply(Step::Backfill, &work).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM titles").await, 500);
}

#[tokio::test]
async fn what_the_new_version_reads_is_brought_over_before_it_gets_traffic() {
    let database = Database::new().await;
    let table = table("id", "id bigint", "n", 50);
    let early = FILL.replace("-- cutover: batch=100", "-- cutover: before=switch");
    for (fill, before, after) in [(FILL, 0, 1), (early.as_str(), 1, 0)] {
        let database = Database::new().await;
        let work = work(&table, fill);
        database.expand(&work).await.unwrap();
        assert_eq!(database.apply(Step::BackfillBeforeSwitch, &work).await.unwrap().applied.len(), before);
        assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().applied.len(), after);
    }
    let error = database.apply(Step::Backfill, &work(&table, FILL)).await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::Early { .. })), "{error}");
}

#[tokio::test]
async fn a_key_that_would_leave_rows_out_or_read_the_whole_table_is_refused() {
    let database = Database::new().await;
    let table = format!(
        "{} ALTER TABLE posts ADD other int UNIQUE, ADD more int NOT NULL DEFAULT 0; CREATE TABLE keyless (id int, new int);",
        table("id", "id bigint", "n", 5)
    );
    for (headers, why) in [
        ("table=posts\n-- cutover: key=nothing", "no column nothing"),
        ("table=posts\n-- cutover: key=other", "may be NULL"),
        ("table=posts\n-- cutover: key=more", "no index begins with more"),
        ("table=posts\n-- cutover: key=more, id", "no index begins with more, id"),
        ("table=keyless", "no primary key"),
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
            .session()
            .await
            .batch_execute("DELETE FROM cutover_ledger.migrations WHERE phase = 'backfill'")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn rows_that_the_statement_passes_over_are_an_error_that_counts_them() {
    let database = Database::new().await;
    let fill = FILL.replace("WHERE :batch", "WHERE :batch AND id <> 7").replace(", visits = visits + 1", "");
    let work = work(&table("id", "id bigint", "n", 300), &fill);
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
    let fill = FILL.replace("upper(old)", "upper(old)\n || 1/(visits - visits)");
    let work = work(&table("id", "id bigint", "n", 10), &fill);
    database.expand(&work).await.unwrap();
    let error = database.apply(Step::Backfill, &work).await.unwrap_err();
    assert!(error.to_string().contains("001_change.backfill, line 4: division by zero"), "{error}");
}

/// The row that is locked is met in each batch that has it, until batches are small and its holder is gone.
#[tokio::test]
async fn a_batch_gives_way_to_whoever_has_one_of_its_rows() {
    let database = Database::new().await;
    let work = work(&table("id", "id bigint", "n", 1_000), FILL);
    database.expand(&work).await.unwrap();
    let writer = database.session().await;
    writer
        .batch_execute("SET application_name = 'checkout'; BEGIN; UPDATE posts SET old = 'y' WHERE id = 950")
        .await
        .unwrap();
    let (progress, mut told) = tokio::sync::mpsc::unbounded_channel();
    let limits = Limits::default();
    let filled = cutover_migrator::apply(&database.url, Step::Backfill, &work, &limits, &progress);
    let given_way = async {
        let mut named = false;
        while !named {
            if let Some(Progress::GaveWay { blockers, batch, .. }) = told.recv().await {
                named =
                    batch < 100 && blockers.0.iter().any(|b| b.application.as_deref() == Some("checkout"));
            }
        }
        writer.batch_execute("COMMIT").await.unwrap();
    };
    let both = Box::pin(async { tokio::join!(filled, given_way) });
    let (filled, ()) = tokio::time::timeout(crate::support::LIMIT, both).await.expect("it never gave way");
    assert_eq!(filled.unwrap().applied.len(), 1);
    assert_eq!(database.count(DONE).await, 1_000);
}

/// Both are alive: the earlier one finds that it may not go on.
#[tokio::test]
async fn whoever_has_the_later_claim_goes_on_from_where_the_earlier_one_was() {
    let database = Database::new().await;
    let table = table("id", "id bigint", "n", 20_000);
    let mut earlier = work(&table, FILL);
    database.expand(&earlier).await.unwrap();
    earlier.epoch.sequence = 8;
    let mut later = earlier.clone();
    later.epoch.sequence = 9;
    let slow = Limits { rest: 20.0, batch: Duration::from_millis(2), ..Limits::default() };
    let (first, second) = tokio::join!(database.apply_within(Step::Backfill, &earlier, &slow), async {
        database.until("SELECT EXISTS (SELECT FROM cutover_ledger.backfills WHERE rows_walked > 0)").await;
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
    let work = work(&table("id", "id bigint", "n", 10_000), FILL);
    database.expand(&work).await.unwrap();
    // Slow by its pauses, and not by batches that a busy machine would make ever smaller.
    let slow = Limits { rest: 10.0, batch: Duration::from_millis(50), ..Limits::default() };
    let mut other = phases(&[("001", Phase::Expand, "CREATE TABLE invoices (id int)")]);
    other.service = "billing".parse().unwrap();
    let filled = database.apply_within(Step::Backfill, &work, &slow);
    let changed = async {
        database.until("SELECT EXISTS (SELECT FROM cutover_ledger.backfills WHERE rows_walked > 0)").await;
        let changed = database.expand(&other).await.unwrap();
        let done = "SELECT count(*) FROM cutover_ledger.migrations WHERE phase = 'backfill' AND finished_at IS NOT NULL";
        (changed.applied.len(), database.count(done).await)
    };
    let (filled, changed) = tokio::join!(Box::pin(filled), Box::pin(changed));
    assert_eq!((filled.0.unwrap().applied.len(), changed), (1, (1, 0)));
}

#[tokio::test]
async fn replicas_that_are_behind_are_waited_for() {
    let server = Server::start();
    let replica = server.replica();
    let (database, follower) = (Database::on(&server).await, connect(replica.url()).await);
    let work = work(&table("id", "id bigint", "n", 6_000), FILL);
    database.expand(&work).await.unwrap();
    follower.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
    // So slow that it can't be done before it has looked at the replica, however fast the machine is.
    let slow = Limits {
        lag: Duration::from_millis(1_500),
        batch: Duration::from_millis(2),
        rest: 100.0,
        ..Limits::default()
    };
    let hopeless = Limits { lag_patience: Duration::from_millis(600), ..slow.clone() };
    let (outcome, _) = database.apply_within(Step::Backfill, &work, &hopeless).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Lag { .. }) && error.retryable(), "{error}");

    let (progress, mut told) = tokio::sync::mpsc::unbounded_channel();
    let filled = Box::pin(cutover_migrator::apply(&database.url, Step::Backfill, &work, &slow, &progress));
    let resumed = async {
        while !matches!(told.recv().await.unwrap(), Progress::Lagging { .. }) {}
        follower.batch_execute("SELECT pg_wal_replay_resume()").await.unwrap();
        while !matches!(told.recv().await.unwrap(), Progress::Filled { .. }) {}
    };
    let goes_on = async {
        tokio::select! {
            filled = filled => panic!("it did not wait: {filled:?}"),
            () = resumed => {}
        }
    };
    tokio::time::timeout(crate::support::LIMIT, goes_on).await.expect("it never waited, or for ever");
    let filled = database.apply(Step::Backfill, &work).await;
    assert_eq!(filled.unwrap().applied.len(), 1);
    assert_eq!(database.count(DONE).await, 6_000);
}

#[tokio::test]
async fn each_row_is_counted_once() {
    let database = Database::new().await;
    let work = work(&table("id", "id bigint", "n", 20_000), &FILL.replace("batch=100", "batch=1000"));
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
