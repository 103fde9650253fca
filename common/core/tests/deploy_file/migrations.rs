//! What a deploy file says of migrations.

use cutover_core::{
    BackfillTerms, ContractTerms, Digest, Engine, LockTerms, MigrationFile, MigrationSource, Phase, Plan,
    Rails, RehearsalTerms, Release, Settings, Source, Span, Stage, Via, When,
};

use super::{only, parse, problems, with};

#[test]
fn the_engine_and_the_terms_of_the_contract_are_read() {
    assert_eq!(with("migrations: {folder: db, database: env://DB, via: host}").settings.via, Via::Host);
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
fn rails_runs_its_own_where_it_is_asked_to() {
    let target = with("migrations: {rails: true}");
    assert_eq!(target.migrations, Some(MigrationSource::Rails(".".into())));
    assert_eq!((target.settings.rails, target.settings.database), (Some(Rails::default()), None));
    let own = with("migrations: {rails: {root: shop, command: bundle exec rails}, database: env://DB}");
    assert_eq!(own.migrations, Some(MigrationSource::Rails("shop".into())));
    assert_eq!(own.settings.rails.unwrap().command, ["bundle", "exec", "rails"]);
    assert!(own.settings.database.is_some());
    let off = with("migrations: {rails: false}");
    assert_eq!((off.migrations, off.settings.rails), (None, None));
}

#[test]
fn migrations_are_files_of_sql_or_those_of_rails() {
    for (text, said) in [
        ("{rails: true, folder: db, database: env://DB}", "both a folder and rails are given"),
        ("{rails: false, database: env://DB}", "no folder is given"),
        ("{rails: {root: ../shop}}", "migrations.rails.root"),
    ] {
        let text =
            format!("service: hello\nmigrations: {text}\ndestinations: {{production: {{hosts: [a]}}}}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn workers_that_would_take_ruby_for_sql_are_not_given_it() {
    let settings = with("migrations: {rails: true}").settings;
    let text = serde_json::to_string(&settings).unwrap();
    assert!(text.contains(r#""rails":{"command":["bin/rails"]}"#), "{text}");
    assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    let source = Source::Image("hello".into());
    let release = Release { version: "v1".into(), source, settings, migrations: Vec::new() };
    assert_eq!(Plan::protocol_for(&release), 6);
    assert!(!serde_json::to_string(&with("").settings).unwrap().contains("rails"));
}

#[test]
fn how_locks_are_asked_for_and_rows_brought_over_is_read_and_laid_over() {
    let usual = with("migrations: {folder: db, database: env://DB}").settings;
    assert_eq!((usual.locks, usual.backfill), (LockTerms::default(), BackfillTerms::default()));
    let text = "service: hello\n\
        migrations:\n  folder: db\n  database: env://DB\n\
        \x20 locks: {wait: 20ms, patience: 5m, end_blockers: 30s, statement_timeout: 1h}\n\
        \x20 backfill: {batch_time: 10ms, batch_size: 500, share: 12.5%, max_lag: 10s}\n\
        destinations: {production: {hosts: [a], migrations: {locks: {end_blockers: never}, backfill: {share: 100%}}}}";
    let settings = only(text).settings;
    let locks = LockTerms {
        wait: Span::millis(20),
        patience: Span::seconds(300),
        end_blockers: None,
        statement: Span::seconds(3600),
    };
    let backfill = BackfillTerms {
        batch_time: Span::millis(10),
        batch_size: 500,
        share: 1000,
        max_lag: Span::seconds(10),
    };
    assert_eq!((&settings.locks, &settings.backfill), (&locks, &backfill));
    let base = only(&text.replace("migrations: {locks: {end_blockers: never}, backfill: {share: 100%}}", ""));
    assert_eq!(base.settings.locks.end_blockers, Some(Span::seconds(30)));
    assert_eq!(base.settings.backfill.share, 125);
}

#[test]
fn workers_that_would_keep_to_their_own_measure_are_not_given_another() {
    let protocol = |lines: &str| {
        let settings = with(&format!("migrations: {{folder: db, database: env://DB{lines}}}")).settings;
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
        let source = Source::Image("hello".into());
        let release = Release { version: "v1".into(), source, settings, migrations: Vec::new() };
        // Also the database's address, which is sealed, needs 7.
        (Plan::protocol_for(&release), text.contains("locks") || text.contains("batch"))
    };
    assert_eq!(protocol(""), (7, false));
    assert_eq!(protocol(", locks: {wait: 100ms, patience: 1m}, backfill: {batch_size: 100000}"), (7, false));
    assert_eq!(protocol(", locks: {end_blockers: 1m}"), (7, true));
    assert_eq!(protocol(", backfill: {share: 10%}"), (7, true));
    assert_eq!(protocol(", via: direct"), (7, false));
    assert_eq!(protocol(", via: host"), (7, false));
}

#[test]
fn a_copy_to_rehearse_on_is_named_by_a_reference_or_with_its_terms() {
    let rehearsal = |lines: &str| {
        with(&format!("migrations: {{folder: db, database: env://DB{lines}}}")).settings.rehearsal
    };
    assert_eq!(rehearsal(""), None);
    let usual = RehearsalTerms {
        database: "env://COPY".parse().unwrap(),
        via: Via::Direct,
        hold: Span::seconds(1),
        timeout: Span::seconds(4 * 3600),
    };
    assert_eq!(rehearsal(", rehearse: env://COPY"), Some(usual.clone()));
    let host = RehearsalTerms { via: Via::Host, ..usual.clone() };
    assert_eq!(rehearsal(", via: host, rehearse: env://COPY"), Some(host), "as the database is reached");
    let own = RehearsalTerms { hold: Span::millis(300), timeout: Span::seconds(60), ..usual };
    let lines = ", via: host, rehearse: {database: env://COPY, via: direct, hold: 300ms, timeout: 1m}";
    assert_eq!(rehearsal(lines), Some(own));

    let settings = with("migrations: {folder: db, database: env://DB, rehearse: env://COPY}").settings;
    let needed = settings.needed_secrets();
    let keys: Vec<&str> = needed.iter().map(|needed| needed.key.as_str()).collect();
    assert_eq!(keys, ["migrations.database", "migrations.rehearse"]);
    let (source, settings) = (Source::Image("hello".into()), settings.clone());
    let release = Release { version: "v1".into(), source, settings, migrations: Vec::new() };
    assert_eq!(Plan::protocol_for(&release), 7);
}

#[test]
fn what_nobody_would_keep_to_is_refused() {
    let idle = problems("migrations: {rails: true, via: host}");
    assert!(idle.len() == 1 && idle[0].starts_with("migrations.via: no database is named"), "{idle:?}");
    let unknown = problems("migrations: {rails: true, rehearse: env://COPY}");
    assert!(
        unknown.len() == 1 && unknown[0].starts_with("migrations.rehearse: without the database itself"),
        "{unknown:?}"
    );
    let of = |lines: &str| problems(&format!("migrations: {{database: env://DB, {lines}}}"));
    for (lines, said) in [
        ("rails: true, locks: {end_blockers: 1m}", "migrations.locks.end_blockers: nobody is ended"),
        ("rails: true, backfill: {share: 10%}", "migrations.backfill: migrations of Rails have no backfills"),
        ("folder: db, engine: mariadb, backfill: {max_lag: 5s}", "migrations.backfill.max_lag: MySQL and"),
        (
            "rails: true, engine: mariadb, rehearse: env://COPY",
            "migrations.rehearse: migrations of Rails are rehearsed on PostgreSQL alone",
        ),
        (
            "rails: true, rehearse: {database: env://COPY, hold: 1s}",
            "migrations.rehearse: how long Rails' migrations hold locks isn't seen",
        ),
        ("folder: db, rehearse: {hold: 1s}", "migrations.rehearse: no database is named to rehearse on"),
        ("folder: db, rehearse: env://DB", "migrations.rehearse: this is the database itself"),
    ] {
        let told = of(lines);
        assert!(told.len() == 1 && told[0].starts_with(said), "{told:?}");
    }
}

#[test]
fn wrong_words_are_refused_with_those_that_there_are() {
    let text = "service: hello\nmigrations: {folder: db, database: env://DB, via: tunnel, engine: oracle, contract: {when: later}}\n\
                destinations: {production: {hosts: [a]}}";
    let error = parse(text).unwrap_err().to_string();
    assert!(error.contains("one of postgresql, mysql, mariadb"), "{error}");
    assert!(error.contains("'tunnel' is no way to the database: one of direct, host"), "{error}");
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
        Plan::stages_for(release, None, &cutover_core::SidecarImages::new())
            .into_iter()
            .filter(migrates)
            .collect::<Vec<_>>()
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
