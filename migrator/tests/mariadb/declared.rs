//! What is written from operations, done by the migrator itself, phase after phase, while both versions write.

use cutover_core::{Engine, Phase};
use cutover_migration::Compiled;
use cutover_migrator::Step;

use crate::support::{Database, phases};

const TABLE: &str = "CREATE TABLE users (tenant int, id bigint, name varchar(80) NOT NULL, age varchar(10), PRIMARY KEY (tenant, id));\n\
    INSERT INTO users SELECT seq % 3, seq, CONCAT('Ada L', seq), seq FROM seq_1_to_5000;";

const OPERATIONS: &str = "
operations:
  - split:
      table: users
      column: name
      was: varchar(80)
      back: concat(first, ' ', last)
      into:
        - {column: first, type: varchar(40), not_null: true, using: \"substring_index(name, ' ', 1)\"}
        - {column: last, type: varchar(40), using: \"substring_index(name, ' ', -1)\"}
  - change_type: {table: users, column: age, was: varchar(10), to: years, type: int, using: age + 0, back: years}
  - add_index: {table: users, columns: [last, years]}
";

#[tokio::test]
async fn operations_are_done_in_all_phases() {
    let database = Database::new().await;
    let compiled = Compiled::read(OPERATIONS, "002_change.yaml", "002", Engine::Mariadb).unwrap();
    let mut files = vec![("001", Phase::Expand, TABLE)];
    files.extend(compiled.phases().map(|(phase, sql)| ("002", phase, sql)));
    let work = phases(&files);

    // The table and its rows; columns and triggers of the two moves; the index.
    assert_eq!(database.expand(&work).await.unwrap().applied.len(), 2 + 2 * 3 + 1);
    database
        .run("INSERT INTO users (tenant, id, name, age) VALUES (9, 1, 'Alan T', '41'); UPDATE users SET name = 'Ada K' WHERE id = 7")
        .await;
    assert_eq!(database.apply(Step::BackfillBeforeSwitch, &work).await.unwrap().applied.len(), 2);
    database
        .run(
            "INSERT INTO users (tenant, id, first, last, years) VALUES (9, 2, 'Grace', 'H', 85); \
             UPDATE users SET last = 'J', years = years + 1 WHERE id = 8",
        )
        .await;
    let agree = "SELECT COUNT(*) FROM users WHERE name = CONCAT(first, ' ', last) AND age = years";
    assert_eq!(database.count(agree).await, 5002);

    database.apply(Step::Contract, &work).await.unwrap();
    assert_eq!(database.apply(Step::Contract, &work).await.unwrap().applied.len(), 0);
    let rows = "SELECT COUNT(*) FROM users WHERE (first, last, years) IN \
                (('Alan', 'T', 41), ('Ada', 'K', 7), ('Grace', 'H', 85), ('Ada', 'J', 9))";
    assert_eq!(database.count(rows).await, 4);
    let left = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name IN ('name', 'age')";
    assert_eq!(database.count(left).await, 0);
}
