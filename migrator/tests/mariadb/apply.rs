//! What is applied, and what is not.

use std::time::Duration;

use cutover_migrator::{Error, Limits};
use mysql_async::prelude::Queryable;

use crate::support::{Database, LIMIT, migrations, run};

const POSTS: &str = "CREATE TABLE posts (id bigint PRIMARY KEY, title text);";
const ROWS: &str = "SELECT COUNT(*) FROM cutover_ledger_migrations WHERE finished_at IS NOT NULL";

fn tables(name: &str) -> String {
    format!(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{name}'"
    )
}

#[tokio::test]
async fn each_migration_is_applied_once() {
    let database = Database::new().await;
    let both = migrations(&[
        POSTS,
        "ALTER TABLE posts ADD body text, ALGORITHM=INSTANT;\nINSERT INTO posts VALUES (1, 'a', ';');",
    ]);
    let first = database.expand(&both).await.unwrap();
    // Each statement is one, as each commits.
    assert_eq!((first.applied.len(), first.already), (3, 0));
    let second = database.expand(&both).await.unwrap();
    assert_eq!((second.applied.len(), second.already), (0, 3));
    assert_eq!(database.count("SELECT COUNT(*) FROM posts WHERE body = ';'").await, 1);
    assert_eq!(database.count(ROWS).await, 2);
}

#[tokio::test]
async fn an_older_release_finds_newer_versions_in_order() {
    let database = Database::new().await;
    database.expand(&migrations(&[POSTS, "ALTER TABLE posts ADD body text"])).await.unwrap();
    let rollback = database.expand(&migrations(&[POSTS])).await.unwrap();
    assert_eq!((rollback.applied.len(), rollback.already), (0, 1));
}

#[tokio::test]
async fn an_applied_migration_that_changed_is_refused_with_both_checksums() {
    let database = Database::new().await;
    let before = migrations(&[POSTS]);
    database.expand(&before).await.unwrap();
    let after = migrations(&["CREATE TABLE posts (id int PRIMARY KEY);", "CREATE TABLE never (id int)"]);
    let error = database.expand(&after).await.unwrap_err();
    let message = error.to_string();
    for expansion in [&before, &after] {
        let checksum = expansion.migrations.iter().next().unwrap().checksum();
        assert!(message.contains(checksum), "{message}");
    }
    assert!(message.contains("001_change") && !error.retryable());
    assert_eq!(database.count(&tables("never")).await, 0);
}

#[tokio::test]
async fn a_statement_that_fails_is_named_and_those_above_it_stay() {
    let database = Database::new().await;
    let failing = "CREATE TABLE tags (id int);\n\nINSERT INTO tags\n  VALUES (1), (nothing);\nCREATE TABLE never (id int);";
    let error = database.expand(&migrations(&[POSTS, failing])).await.unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("002_change (part 2), line 3: Unknown column 'nothing'")
            && message.contains("error 1054"),
        "{message}"
    );
    assert!(!error.retryable());
    assert_eq!((database.count(&tables("tags")).await, database.count(&tables("never")).await), (1, 0));
    assert_eq!(database.count("SELECT COUNT(*) FROM tags").await, 0);
    assert_eq!(database.count(ROWS).await, 1);
    let syntax = "CREATE TABLE a (id int);\nALTER TABLE a\n  ADDED COLUMN b int;";
    let message = database.expand(&migrations(&[POSTS, &failing.replace("(nothing)", "(2)"), syntax])).await;
    assert!(matches!(message, Err(Error::Refused(_))), "what was begun has changed: {message:?}");
    let other = Database::new().await;
    let message = other.expand(&migrations(&[syntax])).await.unwrap_err().to_string();
    assert!(message.contains("001_change (part 2), line 3: You have an error"), "{message}");
}

#[tokio::test]
async fn a_definition_that_fails_is_as_if_it_had_never_been_begun() {
    let database = Database::new().await;
    let change = migrations(&[POSTS, "ALTER TABLE posts ADD title text, ALGORITHM=INSTANT"]);
    let message = database.expand(&change).await.unwrap_err().to_string();
    assert!(message.contains("Duplicate column name 'title'"), "{message}");
    let begun = "SELECT COUNT(*) FROM cutover_ledger_parts WHERE finished_at IS NULL";
    assert_eq!(database.count(begun).await, 0);
    database.run("ALTER TABLE posts DROP COLUMN title").await;
    assert_eq!(database.expand(&change).await.unwrap().applied.len(), 1);
}

#[tokio::test]
async fn what_the_server_can_not_do_so_it_refuses() {
    let database = Database::new().await;
    let change = "ALTER TABLE posts MODIFY id int, ALGORITHM=INSTANT";
    let error = database.expand(&migrations(&[POSTS, change])).await.unwrap_err();
    let Error::Statement { source, .. } = &error else { panic!("{error}") };
    assert!(source.is_unsupported() && error.to_string().contains("ALGORITHM=COPY"), "{error}");
}

#[tokio::test]
async fn a_setting_holds_for_what_is_below_it_in_its_file_and_nowhere_else() {
    let database = Database::new().await;
    let posts = "CREATE TABLE posts (id bigint PRIMARY KEY, author int);\nCREATE TABLE authors (id int PRIMARY KEY);\nINSERT INTO posts VALUES (1, 77);";
    let unchecked = "SET foreign_key_checks = 0;\nALTER TABLE posts ADD CONSTRAINT by_author FOREIGN KEY (author) REFERENCES authors (id), ALGORITHM=INPLACE, LOCK=NONE;\nCREATE TABLE seen AS SELECT @@foreign_key_checks AS checks;";
    let after = "INSERT INTO seen SELECT @@foreign_key_checks";
    let applied = database.expand(&migrations(&[posts, unchecked, after])).await.unwrap();
    assert_eq!(applied.applied.len(), 7);
    assert_eq!(
        database.value::<String>("SELECT GROUP_CONCAT(checks ORDER BY checks) FROM seen").await,
        "0,1"
    );
}

/// Whichever it is: not only those that every statement begins with.
#[tokio::test]
async fn what_one_file_sets_for_the_session_is_set_back_for_the_next() {
    let database = Database::new().await;
    let set = "SET group_concat_max_len = 5, time_zone = '+05:00';\nSET SESSION `sort_buffer_size` = 65536;\n\
        CREATE TABLE seen AS SELECT @@group_concat_max_len AS a, @@time_zone AS b, @@sort_buffer_size AS c;";
    let after = "INSERT INTO seen SELECT @@group_concat_max_len, @@time_zone, @@sort_buffer_size";
    assert_eq!(database.expand(&migrations(&[set, after])).await.unwrap().applied.len(), 4);
    let own = "SELECT COUNT(*) FROM seen WHERE (a, b, c) = (5, '+05:00', 65536)";
    let usual = "SELECT COUNT(*) FROM seen WHERE a = @@group_concat_max_len AND b = @@time_zone AND c = @@sort_buffer_size";
    assert_eq!((database.count(own).await, database.count(usual).await), (1, 1));
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_an_error() {
    let database = Database::new().await;
    database.run("CREATE TABLE a (b varchar(2))").await;
    let message =
        database.expand(&migrations(&["INSERT INTO a VALUES ('long')"])).await.unwrap_err().to_string();
    assert!(message.contains("Data too long"), "{message}");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let limits = Limits { statement: Duration::from_millis(200), ..Limits::default() };
    for slow in
        ["DO 1;\nSELECT SLEEP(600) FROM posts;", "DO 1;\nCREATE TABLE a AS SELECT SLEEP(600) FROM posts;"]
    {
        let database = Database::new().await;
        database.run("CREATE TABLE posts (id int); INSERT INTO posts VALUES (1)").await;
        let (outcome, _) = database.expand_within(&migrations(&[slow]), &limits).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Statement { .. }) && !error.retryable(), "{error}");
        assert!(error.to_string().contains("line 2: it took longer than 0.2 s"), "{error}");
        assert_eq!(database.count(&tables("a")).await, 0);
    }
}

/// It keeps the limits that the server doesn't know.
#[tokio::test]
async fn a_session_that_looks_on_and_has_died_is_replaced() {
    let limits = Limits { statement: Duration::from_secs(4), ..Limits::default() };
    let database = Database::new().await;
    let at_work = "info = 'SELECT SLEEP(600)'";
    let killed = async {
        // One session for all: another of the test's own, on its way out, would be taken for the one that looks on.
        let mut session = database.session().await;
        let looks_on = format!(
            "SELECT COALESCE(MAX(IF(COALESCE({at_work}, FALSE), 0, id)), 0) FROM information_schema.processlist \
             WHERE db = DATABASE() AND id <> CONNECTION_ID() HAVING SUM(COALESCE({at_work}, FALSE)) > 0"
        );
        let found = async {
            loop {
                match session.query_first::<u64, _>(&looks_on).await.unwrap() {
                    Some(id) if id > 0 => break id,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let id = tokio::time::timeout(LIMIT, found).await.expect("nobody looks on");
        run(&mut session, &format!("KILL {id}")).await;
    };
    let slow = migrations(&["SELECT SLEEP(600)"]);
    let ((outcome, _), ()) = tokio::join!(Box::pin(database.expand_within(&slow, &limits)), Box::pin(killed));
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("it took longer than 4 s"), "{error}");
}
