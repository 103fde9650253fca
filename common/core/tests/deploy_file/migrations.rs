//! What a deploy file says of migrations.

use cutover_core::{
    ContractTerms, Digest, Engine, MigrationFile, Phase, Plan, Release, Source, Span, Stage, When,
};

use super::{parse, with};

#[test]
fn the_engine_and_the_terms_of_the_contract_are_read() {
    let settings = with(
        "migrations: {folder: db, database: env://DB, engine: mariadb, contract: {after: 2h, when: approved}}\n\
         timeouts: {backfill: 3h}",
    )
    .settings;
    assert_eq!(settings.engine, Engine::Mariadb);
    assert_eq!(settings.contract, ContractTerms { after: Span::seconds(7200), when: When::Approved });
    assert_eq!(settings.timeouts.backfill, Span::seconds(10_800));
    let usual = with("migrations: {folder: db, database: env://DB}").settings;
    assert_eq!((usual.engine, usual.contract.when), (Engine::Postgresql, When::Retained));
    assert_eq!(usual.contract.after, Span::seconds(3600));
}

#[test]
fn wrong_words_are_refused_with_those_that_there_are() {
    let text = "service: hello\nmigrations: {folder: db, database: env://DB, engine: oracle, contract: {when: later}}\n\
                destinations: {production: {hosts: [a]}}";
    let error = parse(text).unwrap_err().to_string();
    assert!(error.contains("one of postgresql, mysql, mariadb"), "{error}");
    assert!(error.contains("one of retained, elapsed, approved"), "{error}");
}

#[test]
fn several_phases_need_workers_that_know_them_and_a_stage_where_the_new_version_reads_the_rows() {
    let part = |phase| MigrationFile::of_phase(phase, "1", "split", Digest::of(b"SELECT 1"));
    let mut release = Release {
        version: "v1".into(),
        source: Source::Image("hello".into()),
        settings: with("").settings,
        migrations: vec![part(Phase::Expand)],
    };
    let stages = |release: &Release| {
        let migrates = |stage: &Stage| matches!(stage, Stage::Expand | Stage::Backfill | Stage::Contract);
        Plan::stages_for(release, None).into_iter().filter(migrates).collect::<Vec<_>>()
    };
    assert_eq!((Plan::protocol_for(&release), stages(&release)), (2, vec![Stage::Expand]));
    release.migrations.extend([part(Phase::Backfill), part(Phase::Contract)]);
    assert_eq!((Plan::protocol_for(&release), stages(&release)), (5, vec![Stage::Expand]));
    release.migrations[1].before_switch = true;
    assert_eq!(stages(&release), [Stage::Expand, Stage::Backfill]);
}

#[test]
fn a_migration_from_before_there_were_phases_is_read_and_written_as_it_was() {
    let text = format!(r#"{{"version":"1","name":"a","content":"{}"}}"#, Digest::of(b"SELECT 1"));
    let file: MigrationFile = serde_json::from_str(&text).unwrap();
    assert_eq!(file, MigrationFile::expand("1", "a", Digest::of(b"SELECT 1")));
    assert_eq!(serde_json::to_string(&file).unwrap(), text);
    assert_eq!(file.title(), "1_a");
    assert_eq!(MigrationFile { phase: Phase::Contract, ..file }.title(), "1_a.contract");
}
