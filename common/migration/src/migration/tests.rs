use super::*;

fn read_phase(phase: Phase, sql: &str, engine: Engine) -> Result<Vec<Migration>, InvalidMigration> {
    let file = MigrationFile { phase, ..MigrationFile::expand("1", "change", Digest::of(sql.as_bytes())) };
    Migration::read(&file, sql, engine)
}

fn read(sql: &str) -> Result<Vec<Migration>, InvalidMigration> {
    read_phase(Phase::Expand, sql, Engine::Postgresql)
}

#[test]
fn a_file_that_can_not_be_run_safely_is_refused_with_its_line() {
    let line_2 = |sql: &str| {
        let message = read(sql).unwrap_err().to_string();
        assert!(message.contains("1_change, line 2"), "{message}");
    };
    line_2("SELECT 1;\nCOMMIT;");
    line_2("SELECT 1;\nCOPY a FROM STDIN;");
    line_2("SELECT 1;\nCREATE UNIQUE INDEX CONCURRENTLY a ON b (c);");
    line_2("SELECT 1;\nREINDEX (VERBOSE) TABLE CONCURRENTLY a;");
    line_2("-- cutover: transaction=off\nVACUUM a;");
    line_2("SELECT 1;\n-- cutover: part\n-- nothing");
    assert!(matches!(read("-- nothing"), Err(InvalidMigration::Empty(_))));
    let file = MigrationFile::expand("one", "change", Digest::of(b"SELECT 1"));
    let version = Migration::read(&file, "SELECT 1", Engine::Postgresql);
    assert!(matches!(version, Err(InvalidMigration::Version { .. })));
}

#[test]
fn other_content_than_the_pinned_one_is_refused() {
    let file = MigrationFile::expand("1", "a", Digest::of(b"SELECT 1"));
    let other = Migration::read(&file, "SELECT 2", Engine::Postgresql);
    assert!(matches!(other, Err(InvalidMigration::Content { .. })));
}

#[test]
fn what_was_declared_is_what_must_not_change() {
    let declared = Some(Digest::of(b"- add_column"));
    let file = MigrationFile { declared, ..MigrationFile::expand("1", "a", Digest::of(b"SELECT 1")) };
    let read = Migration::read(&file, "SELECT 1", Engine::Postgresql).unwrap();
    assert_eq!(read.first().unwrap().checksum(), Digest::of(b"- add_column").hex());
}

#[test]
fn parts_have_headers_of_their_own_and_the_lines_of_the_file() {
    let sql = "CREATE TABLE a (b int); SELECT 1;\n-- cutover: part\n-- cutover: transaction=off\nDROP INDEX CONCURRENTLY c;\n\n-- cutover: part\n  SELECT 2;";
    let parts = read(sql).unwrap();
    let titles: Vec<&str> = parts.iter().map(Migration::file).collect();
    assert_eq!(titles, ["1_change (part 1)", "1_change (part 2)", "1_change (part 3)"]);
    let lines: Vec<&[usize]> = parts.iter().map(Migration::lines).collect();
    assert_eq!(lines, [&[1, 1][..], &[4], &[7]]);
    let [first, second, third] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!((first.kind(), first.part()), (&Kind::Transaction, 1));
    assert_eq!(second.kind(), &Kind::DropIndex(DroppedIndex { name: "c".to_owned() }));
    assert_eq!(second.sql(), "\n\n\nDROP INDEX CONCURRENTLY c");
    assert_eq!(third.sql(), "\n\n\n\n\n\n  SELECT 2");
    let checksum = Digest::of(sql.as_bytes()).hex().to_owned();
    assert!(parts.iter().all(|part| part.checksum() == checksum));
}

#[test]
fn what_runs_outside_a_transaction_is_named() {
    let kind = |sql: &str| {
        let read = read(&format!("-- cutover: transaction=off\n{sql}"));
        read.map(|parts| parts.first().unwrap().kind().clone())
    };
    assert!(matches!(kind("CREATE INDEX CONCURRENTLY a ON b (c)"), Ok(Kind::Index(_))));
    assert!(matches!(kind("DROP INDEX CONCURRENTLY IF EXISTS a"), Ok(Kind::DropIndex(_))));
    assert!(matches!(kind("REINDEX TABLE CONCURRENTLY a"), Ok(Kind::Reindex(_))));
    for sql in ["CREATE INDEX CONCURRENTLY ON b (c)", "DROP INDEX CONCURRENTLY a; SELECT 1"] {
        assert!(matches!(kind(sql), Err(InvalidMigration::OutsideTransaction { .. })), "{sql}");
    }
}

#[test]
fn a_backfill_is_read_with_its_file_and_line() {
    let headers = "-- cutover: table=a\n-- cutover: verify=b IS NULL\n";
    let backfill = |sql: &str| read_phase(Phase::Backfill, sql, Engine::Postgresql);
    let statement = "UPDATE a SET b = 1 WHERE :batch AND b IS NULL;\n";
    let parts = backfill(&format!("{headers}{statement}-- cutover: part\n{headers}{statement}")).unwrap();
    assert_eq!(parts.last().map(Migration::file), Some("1_change.backfill (part 2)"));
    let Some(Kind::Backfill(second)) = parts.last().map(Migration::kind) else { panic!("{parts:?}") };
    assert_eq!(second.statement("x").lines().nth(6), Some("UPDATE a SET b = 1 WHERE (x) AND b IS NULL"));
    let torn =
        format!("{headers}{statement}-- cutover: part\n-- cutover: before=switch\n{headers}{statement}");
    assert!(matches!(backfill(&torn), Err(InvalidMigration::Torn { line: 8, .. })));
    let wrong = backfill(&format!("{headers}UPDATE a SET b = 1;")).unwrap_err();
    let source = std::error::Error::source(&wrong).unwrap().to_string();
    assert_eq!(wrong.to_string(), "migration 1_change.backfill");
    assert!(source.starts_with("line 3: write :batch once"), "{source}");
}

#[test]
fn mysql_commits_so_each_statement_is_a_part() {
    let sql = "CREATE TABLE a (b int);\nINSERT INTO a VALUES (1);\n# done\nALTER TABLE a ADD c int;";
    let parts = read_phase(Phase::Contract, sql, Engine::Mysql).unwrap();
    let kinds: Vec<(&Kind, &[usize])> = parts.iter().map(|part| (part.kind(), part.lines())).collect();
    assert_eq!(kinds, [(&Kind::Definition, &[1][..]), (&Kind::Transaction, &[2]), (&Kind::Definition, &[4])]);
    for unfit in ["SET sql_log_bin = 0", "SET ROLE admin"] {
        let read = read_phase(Phase::Expand, &format!("SELECT 1;\n{unfit}"), Engine::Mariadb);
        assert!(matches!(read, Err(InvalidMigration::Setting { line: 2, .. })), "{unfit}");
    }
    let off = read_phase(Phase::Expand, "-- cutover: transaction=off\nSELECT 1", Engine::Mariadb);
    assert!(matches!(off, Err(InvalidMigration::NoTransactions { line: 1, .. })));
}
