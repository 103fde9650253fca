//! What is written from operations, done by the migrator itself, phase after phase, while both versions write.

use cutover_core::{Engine, Phase};
use cutover_migration::Compiled;
use cutover_migrator::Step;

use crate::support::{Database, phases};

const TABLE: &str = "CREATE TABLE users (tenant int, id bigint, name text NOT NULL, age text, PRIMARY KEY (tenant, id));\n\
    INSERT INTO users SELECT n % 3, n, 'Ada L' || n, n::text FROM generate_series(1, 5000) n;";

const OPERATIONS: &str = "
operations:
  - split:
      table: public.users
      column: name
      back: first || ' ' || last
      into:
        - {column: first, type: text, not_null: true, using: \"split_part(name, ' ', 1)\"}
        - {column: last, type: text, using: \"split_part(name, ' ', 2)\"}
  - change_type: {table: users, column: age, to: years, type: integer, using: \"age::integer\", back: \"years::text\"}
  - add_index: {table: users, columns: [last, years]}
  - add_check: {table: users, name: grown, check: years >= 0}
";

#[tokio::test]
async fn operations_are_done_in_all_phases() {
    let database = Database::new().await;
    let compiled = Compiled::read(OPERATIONS, "002_change.yaml", "002", Engine::Postgresql).unwrap();
    let mut files = vec![("001", Phase::Expand, TABLE)];
    files.extend(compiled.phases().map(|(phase, sql)| ("002", phase, sql)));
    let work = phases(&files);

    let expanded = database.expand(&work).await.unwrap();
    // The table; the two moves; the index; the check, and its validation.
    assert_eq!(expanded.applied.len(), 6);
    let session = database.session().await;
    let old =
        "INSERT INTO users VALUES (9, 1, 'Alan T', '41'); UPDATE users SET name = 'Ada K' WHERE id = 7;";
    session.batch_execute(old).await.unwrap();
    assert_eq!(database.apply(Step::BackfillBeforeSwitch, &work).await.unwrap().applied.len(), 2);
    let new = "INSERT INTO users (tenant, id, first, last, years) VALUES (9, 2, 'Grace', 'H', 85); \
               UPDATE users SET last = 'J', years = years + 1 WHERE id = 8;";
    session.batch_execute(new).await.unwrap();
    let agree = "SELECT count(*) FROM users WHERE name = first || ' ' || last AND age = years::text";
    assert_eq!(database.count(agree).await, 5002);

    database.apply(Step::Contract, &work).await.unwrap();
    assert_eq!(database.apply(Step::Contract, &work).await.unwrap().applied.len(), 0);
    let rows = "SELECT count(*) FROM users WHERE (first, last, years) IN \
                (('Alan', 'T', 41), ('Ada', 'K', 7), ('Grace', 'H', 85), ('Ada', 'J', 9))";
    assert_eq!(database.count(rows).await, 4);
    let left = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name IN ('name', 'age')";
    assert_eq!(database.count(left).await, 0);
}
