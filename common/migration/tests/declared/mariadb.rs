//! MariaDB. What is written for MySQL is the same but for a foreign key, which it refuses; no MySQL server is at hand to run it.

use cutover_core::{Engine, Phase};

use crate::server::Database;

const TABLES: &str = "
CREATE TABLE users (id bigint AUTO_INCREMENT PRIMARY KEY, name varchar(80) NOT NULL, age varchar(10), legacy varchar(10) NOT NULL DEFAULT 'x') //
INSERT INTO users (name, age) VALUES ('Ada Lovelace', '36'), ('Alan Turing', NULL), ('Grace Hopper', '85') //
";

const MOVES: &str = "
operations:
  - rename_column: {table: users, column: legacy, to: kind, type: varchar(10), not_null: true, default: \"'y'\"}
  - change_type: {table: users, column: age, was: varchar(10), to: years, type: int, using: age + 0, back: years}
  - split:
      table: users
      column: name
      was: varchar(80)
      back: \"concat_ws(' ', `first`, last)\"
      into:
        - {column: first, type: varchar(40), not_null: true, using: \"substring_index(name, ' ', 1)\"}
        - {column: last, type: varchar(40), using: \"if(locate(' ', name) > 0, substring_index(name, ' ', -1), NULL)\"}
";

#[test]
fn both_versions_write_and_each_reads_what_the_other_wrote() {
    let database = Database::new(Engine::Mariadb);
    database.run(TABLES);
    database.apply(MOVES, "0007", Phase::Expand);

    // The old version, which knows nothing of it.
    database.run("INSERT INTO users (name, age) VALUES ('Edsger Dijkstra', '72')");
    database.run("UPDATE users SET name = 'Alan M.', age = '41' WHERE id = 2");
    assert_eq!(database.run("SELECT first, last, years, kind FROM users WHERE id = 2"), "Alan|M.|41|NULL");
    database.apply(MOVES, "0007", Phase::Backfill);
    database.run("UPDATE users SET legacy = 'z' WHERE id = 3");
    // The new version: the old name has no default, and it isn't given.
    database.run("INSERT INTO users (first, last, years, kind) VALUES ('Barbara', 'Liskov', 86, 'w')");
    database.run("UPDATE users SET first = 'Augusta Ada', years = 37 WHERE id = 1");
    database.run("UPDATE users SET last = NULL WHERE id = 3");
    // What the old one reads then, and writes.
    let old = "SELECT id, name, age, legacy FROM users ORDER BY id";
    let rows = [
        "1|Augusta Ada Lovelace|37|x",
        "2|Alan M.|41|x",
        "3|Grace|85|z",
        "4|Edsger Dijkstra|72|x",
        "5|Barbara Liskov|86|w",
    ];
    assert_eq!(database.run(old), rows.join("\n"));
    database.run("UPDATE users SET age = NULL WHERE id = 5");
    database.apply(MOVES, "0007", Phase::Backfill);

    let new = "SELECT id, first, last, years, kind FROM users ORDER BY id";
    let rows = [
        "1|Augusta Ada|Lovelace|37|x",
        "2|Alan|M.|41|x",
        "3|Grace|NULL|85|z",
        "4|Edsger|Dijkstra|72|x",
        "5|Barbara|Liskov|NULL|w",
    ];
    assert_eq!(database.run(new), rows.join("\n"));
    database.apply(MOVES, "0007", Phase::Contract);
    assert_eq!(database.run(new), rows.join("\n"));
    let columns = "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_schema = database() ORDER BY column_name";
    assert_eq!(database.run(columns), "first|NO\nid|NO\nkind|NO\nlast|YES\nyears|YES");
    database.run("INSERT INTO users (first) VALUES ('C')");
    assert_eq!(database.run("SELECT kind FROM users WHERE first = 'C'"), "y");
    assert_eq!(
        database.run("SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = database()"),
        "0"
    );
}

const COLUMNS: &str = "
operations:
  - add_column: {table: users, column: country, type: varchar(2), default: \"'de'\", not_null: true}
  - add_column: {table: users, column: token, type: char(36), default: uuid(), not_null: true}
  - add_column: {table: users, column: initial, type: varchar(1), fill: \"left(name, 1)\", not_null: true}
  - drop_column: {table: users, column: legacy}
";

#[test]
fn new_columns_have_values_whoever_writes() {
    let database = Database::new(Engine::Mariadb);
    database.run(TABLES);
    database.apply(COLUMNS, "8", Phase::Expand);
    database.run("INSERT INTO users (name, legacy) VALUES ('old', 'a')");
    database.apply(COLUMNS, "8", Phase::Backfill);
    database.run("INSERT INTO users (name, legacy) VALUES ('late', 'a')");
    database.run("INSERT INTO users (name, initial) VALUES ('new', 'N')");
    database.apply(COLUMNS, "8", Phase::Contract);
    let initials = "SELECT group_concat(initial, country ORDER BY id) FROM users";
    assert_eq!(database.run(initials), "Ade,Ade,Gde,ode,lde,Nde");
    assert_eq!(database.run("SELECT count(DISTINCT token) FROM users"), "6");
    assert!(database.refused("INSERT INTO users (name) VALUES ('none')").contains("initial"));
    assert!(database.refused("SELECT legacy FROM users").contains("Unknown column"));
}

const CONSTRAINTS: &str = "
operations:
  - add_index: {table: users, columns: [name, age DESC], unique: true}
  - add_foreign_key: {table: posts, columns: author, references: users, key: id, on_delete: CASCADE}
  - set_not_null: {table: users, column: age, type: varchar(10), fill: \"'0'\"}
";

#[test]
fn constraints_hold_for_what_is_written() {
    let database = Database::new(Engine::Mariadb);
    database.run(TABLES);
    database.run("CREATE TABLE posts (id int PRIMARY KEY, author bigint) // INSERT INTO posts VALUES (1, 1)");
    database.apply(CONSTRAINTS, "9", Phase::Expand);
    database.run("INSERT INTO users (name) VALUES ('old')");
    database.apply(CONSTRAINTS, "9", Phase::Backfill);
    database.apply(CONSTRAINTS, "9", Phase::Contract);
    assert!(database.refused("INSERT INTO users (name, age) VALUES ('a', NULL)").contains("cannot be null"));
    assert!(database.refused("INSERT INTO posts VALUES (2, 77)").contains("posts_author_fkey"));
    assert!(
        database
            .refused("INSERT INTO users (name, age) VALUES ('old', '0')")
            .contains("users_name_age_desc_idx")
    );
}

const TABLE: &str = "
operations:
  - rename_table: {table: users, to: people}
  - drop_table: {table: posts}
";

#[test]
fn a_table_has_both_names_until_the_old_one_goes() {
    let database = Database::new(Engine::Mariadb);
    database.run(TABLES);
    database.run("CREATE TABLE posts (id int)");
    database.apply(TABLE, "10", Phase::Expand);
    database.run("INSERT INTO people (name) VALUES ('new')");
    database.run("UPDATE people SET age = '1' WHERE name = 'new'");
    assert_eq!(database.run("SELECT age, legacy FROM users WHERE name = 'new'"), "1|x");
    database.apply(TABLE, "10", Phase::Contract);
    assert_eq!(database.run("SELECT count(*) FROM people"), "4");
    assert!(database.refused("SELECT * FROM users").contains("doesn't exist"));
    assert!(database.refused("SELECT * FROM posts").contains("doesn't exist"));
}

/// What a change of a table takes: as docs/migrations.md says, and as the server does. The table is `t`, with the columns of
/// [`TABLE_T`].
const ALGORITHMS: [(&str, &str, &str); 13] = [
    ("add a column", "ADD COLUMN n int", "INSTANT"),
    ("drop a column", "DROP COLUMN a", "INSTANT"),
    ("rename a column", "RENAME COLUMN a TO z", "INSTANT"),
    ("change a default", "ALTER COLUMN a SET DEFAULT 7", "INSTANT"),
    ("make a `varchar` wider", "MODIFY COLUMN v varchar(40)", "INSTANT"),
    ("drop `NOT NULL`", "MODIFY COLUMN r int NULL", "INPLACE"),
    ("set `NOT NULL`", "MODIFY COLUMN a int NOT NULL", "INPLACE"),
    ("add an index", "ADD INDEX by_a (a)", "INPLACE"),
    ("add a unique index", "ADD UNIQUE INDEX by_a (a)", "INPLACE"),
    ("drop an index", "DROP INDEX by_v", "INPLACE"),
    (
        "add a foreign key, with `foreign_key_checks = 0`",
        "ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES t (id)",
        "INPLACE",
    ),
    ("change a type", "MODIFY COLUMN a bigint", "COPY"),
    ("add a check", "ADD CONSTRAINT k CHECK (a > 0)", "COPY"),
];

const TABLE_T: &str = "CREATE TABLE t (id int PRIMARY KEY, a int, v varchar(20), r int NOT NULL, KEY by_v (v)) // INSERT INTO t VALUES (1, 1, 'v', 1)";

#[test]
fn the_page_says_what_a_change_takes() {
    let page = include_str!("../../../../docs/migrations.md");
    let database = Database::new(Engine::Mariadb);
    for (what, action, algorithm) in ALGORITHMS {
        let alter = |algorithm: &str, lock: &str| {
            format!(
                "SET STATEMENT foreign_key_checks = 0 FOR ALTER TABLE t {action}, ALGORITHM={algorithm}{lock}"
            )
        };
        database.run(&format!("DROP TABLE IF EXISTS t // {TABLE_T}"));
        match algorithm {
            "INPLACE" => {
                database.refused(&alter("INSTANT", ""));
                database.run(&alter("INPLACE", ", LOCK=NONE"));
            }
            "COPY" => {
                database.refused(&alter("INPLACE", ", LOCK=NONE"));
                database.run(&alter("COPY", ""));
            }
            instant => {
                database.run(&alter(instant, ""));
            }
        }
        let row = format!("| {what} | {algorithm} |");
        assert!(page.contains(&row), "docs/migrations.md lacks\n{row}");
    }
}
