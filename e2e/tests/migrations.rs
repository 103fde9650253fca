//! A migration of three phases through a whole deployment: both versions serve while rows are brought over, going back is
//! possible until the contract, and refused after it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Command;

use cutover_core::{Service, Stage};
use cutover_e2e::{App, Database};
use support::{Expect, Scene};

const TABLE: (&str, &str) = (
    "1_people.sql",
    "CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL);\n\
     INSERT INTO people SELECT n, 'first' || n || ' last' || n FROM generate_series(1, 20000) n;",
);
const EXPAND: (&str, &str) = ("2_split.expand.sql", "ALTER TABLE people ADD COLUMN last_name text;");
const BACKFILL: (&str, &str) = (
    "2_split.backfill.sql",
    "-- cutover: table=people\n-- cutover: verify=last_name IS NULL\n\
     UPDATE people SET last_name = split_part(name, ' ', 2) WHERE :batch AND last_name IS NULL;",
);
const CONTRACT: (&str, &str) = ("2_split.contract.sql", "ALTER TABLE people DROP COLUMN name;");

struct Migrating {
    scene: Scene,
    database: Database,
}

impl Migrating {
    fn set(name: &str) -> Self {
        Self { scene: Scene::set(name), database: Database::start(name).unwrap() }
    }

    fn app(&self, version: &str, contract: &'static str, migrations: &[(&'static str, &'static str)]) -> App {
        App {
            database: Some(format!("file://{}", self.reference())),
            migrations: migrations.to_vec(),
            contract: Some(contract),
            soak: "1s",
            replicas: 1,
            ..self.scene.app(version)
        }
    }

    /// A file with the database's address.
    fn reference(&self) -> String {
        let path = self.scene.project.folder().join("database_url");
        std::fs::write(&path, &self.database.url).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn sql(&self, sql: &str) -> String {
        let output = Command::new("psql").args(["-XAtc", sql, &self.database.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until a backfill, or a contract, is owed no more.
    async fn paid(&self, stage: Stage) {
        let paid = |service: &Service| !service.obligations.iter().any(|owed| owed.task.stage == stage);
        self.scene.until_service(paid).await;
    }
}

const MISSING: &str = "SELECT count(*) FROM people WHERE last_name IS NULL";
const COLUMNS: &str = "SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns \
    WHERE table_name = 'people'";

#[tokio::test(flavor = "multi_thread")]
async fn a_version_can_be_gone_back_to_until_the_contract_and_not_after_it() {
    let there = Migrating::set("phases");
    let scene = &there.scene;
    let all = [TABLE, EXPAND, BACKFILL, CONTRACT];
    scene.deploy(&there.app("v1", "{when: approved}", &[TABLE])).succeeded();
    let load = scene.load();
    scene.deploy(&there.app("v2", "{when: approved}", &all)).succeeded();
    there.paid(Stage::Backfill).await;
    assert_eq!(there.sql(MISSING), "0");
    scene.cutover(&["migrations"]).exited(0, &["2_split: contract waits", "cutover approve"]);

    // The old version writes what the new one has to find later.
    scene.cutover(&["rollback"]).succeeded();
    scene.serves("v1").await;
    there.sql("INSERT INTO people (id, name) SELECT n, 'a b' FROM generate_series(30001, 30500) n");
    scene.cutover(&["approve"]).exited(2, &["nothing of production/hello waits for approval"]);
    scene.cutover(&["rollback", "v2"]).succeeded();
    there.paid(Stage::Backfill).await;
    assert_eq!(there.sql(MISSING), "0");
    assert_eq!(there.sql(COLUMNS), "id last_name name");

    scene.cutover(&["approve"]).exited(0, &["approves the contract of 2_split", "v1 (release"]);
    there.paid(Stage::Contract).await;
    assert_eq!(there.sql(COLUMNS), "id last_name");
    scene.cutover(&["rollback", "--list"]).exited(0, &["no way back: migration 2 is contracted"]);
    scene.cutover(&["rollback", "v1"]).exited(2, &["release v1 was made without migration 2"]);
    scene.cutover(&["migrations"]).exited(0, &["2 migrations are done"]);
    scene.serves("v2").await;

    // It goes on from there.
    scene.deploy(&there.app("v3", "{when: approved}", &all)).succeeded();
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_new_version_reads_is_brought_over_before_it_boots_and_what_is_old_goes_when_nothing_needs_it()
 {
    let there = Migrating::set("first");
    let scene = &there.scene;
    let first = (
        "2_split.backfill.sql",
        concat!(
            "-- cutover: before=switch\n-- cutover: table=people\n\
        -- cutover: verify=last_name IS NULL\n",
            "UPDATE people SET last_name = split_part(name, ' ', 2) \
        WHERE :batch AND last_name IS NULL;"
        ),
    );
    scene.deploy(&there.app("v1", "{after: 0s}", &[TABLE])).succeeded();
    let next = App {
        migrations: vec![TABLE, EXPAND, first, CONTRACT],
        ..there.app("v2", "{after: 0s, when: elapsed}", &[])
    };
    scene.deploy(&next).exited(0, &["backfill", "20000 rows brought over"]);
    there.paid(Stage::Contract).await;
    assert_eq!(
        (there.sql(COLUMNS), there.sql("SELECT count(*) FROM people")),
        ("id last_name".into(), "20000".into())
    );
    // An older tree, without the migration's files.
    let folder = scene.project.folder().join("migrations");
    for (name, _) in [EXPAND, first, CONTRACT] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    scene
        .deploy(&there.app("v0", "{after: 0s}", &[TABLE]))
        .exited(2, &["release v0 was made without migration 2"]);
    scene.serves("v2").await;
}
