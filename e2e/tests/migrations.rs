//! A migration of three phases through a whole deployment: both versions serve while rows are brought over, going back is
//! possible until the contract, and refused after it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::{Ipv4Addr, ToSocketAddrs};
use std::process::Command;
use std::time::Duration;

use cutover_core::{Service, Stage};
use cutover_e2e::{App, Database, Mariadb, Relay};
use support::{Expect, Scene};

/// What differs between the servers.
struct Dialect {
    engine: &'static str,
    table: &'static str,
    expand: &'static str,
    fill: &'static str,
    contract: &'static str,
    columns: &'static str,
    more: &'static str,
}

const POSTGRESQL: Dialect = Dialect {
    engine: "postgresql",
    table: "CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL);\n\
        INSERT INTO people SELECT n, 'first' || n || ' last' || n FROM generate_series(1, 20000) n;",
    expand: "ALTER TABLE people ADD COLUMN last_name text;",
    fill: "-- cutover: table=people\n-- cutover: verify=last_name IS NULL\n\
        UPDATE people SET last_name = split_part(name, ' ', 2) WHERE :batch AND last_name IS NULL;",
    contract: "ALTER TABLE people DROP COLUMN name;",
    columns: "SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns \
        WHERE table_name = 'people'",
    more: "INSERT INTO people (id, name) SELECT n, 'a b' FROM generate_series(30001, 30500) n",
};

const MARIADB: Dialect = Dialect {
    engine: "mariadb",
    table: "CREATE TABLE people (id bigint PRIMARY KEY, name varchar(80) NOT NULL);\n\
        INSERT INTO people SELECT seq, CONCAT('first', seq, ' last', seq) FROM seq_1_to_20000;",
    expand: "ALTER TABLE people ADD COLUMN last_name varchar(80), ALGORITHM=INSTANT;",
    fill: "-- cutover: table=people\n-- cutover: verify=last_name IS NULL\n\
        UPDATE people SET last_name = SUBSTRING_INDEX(name, ' ', -1) WHERE :batch AND last_name IS NULL;",
    contract: "ALTER TABLE people DROP COLUMN name, ALGORITHM=INSTANT;",
    columns: "SELECT GROUP_CONCAT(column_name ORDER BY column_name SEPARATOR ' ') FROM information_schema.columns \
        WHERE table_schema = DATABASE() AND table_name = 'people'",
    more: "INSERT INTO people (id, name) SELECT seq, 'a b' FROM seq_30001_to_30500",
};

const TABLE: &str = "1_people.sql";
const EXPAND: &str = "2_split.expand.sql";
const BACKFILL: &str = "2_split.backfill.sql";
const CONTRACT: &str = "2_split.contract.sql";

/// The server that migrations run on.
enum Server {
    Postgresql(Database),
    Mariadb(Mariadb),
}

struct Migrating {
    scene: Scene,
    dialect: Dialect,
    server: Server,
}

impl Migrating {
    fn set(name: &str, dialect: Dialect) -> Self {
        let server = if dialect.engine == MARIADB.engine {
            Server::Mariadb(Mariadb::start(name, &[]).unwrap())
        } else {
            Server::Postgresql(Database::start(name).unwrap())
        };
        Self { scene: Scene::set(name), dialect, server }
    }

    fn url(&self) -> &str {
        match &self.server {
            Server::Postgresql(server) => &server.url,
            Server::Mariadb(server) => &server.url,
        }
    }

    /// All phases of the second migration after the first one.
    fn all(&self) -> [(&'static str, &'static str); 4] {
        let Dialect { table, expand, fill, contract, .. } = self.dialect;
        [(TABLE, table), (EXPAND, expand), (BACKFILL, fill), (CONTRACT, contract)]
    }

    fn app(&self, version: &str, contract: &'static str, migrations: &[(&'static str, &'static str)]) -> App {
        App {
            database: Some(format!("file://{}", self.reference())),
            engine: Some(self.dialect.engine),
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
        std::fs::write(&path, self.url()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn sql(&self, sql: &str) -> String {
        let output = match &self.server {
            Server::Postgresql(server) => Command::new("psql").args(["-XAtc", sql, &server.url]).output(),
            Server::Mariadb(server) => {
                let url = url::Url::parse(&server.url).unwrap();
                Command::new("mariadb")
                    .args([
                        "--no-defaults",
                        "--batch",
                        "--skip-column-names",
                        "--user=cutover",
                        "--host=127.0.0.1",
                    ])
                    .args([format!("--port={}", url.port().unwrap()), format!("--execute={sql}")])
                    .arg(url.path().trim_start_matches('/'))
                    .env("MYSQL_PWD", url.password().unwrap())
                    .output()
            }
        };
        let output = output.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_version_can_be_gone_back_to_until_the_contract_and_not_after_it() {
    Box::pin(there_and_back(Migrating::set("phases", POSTGRESQL))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb_a_version_can_be_gone_back_to_until_the_contract_and_not_after_it() {
    Box::pin(there_and_back(Migrating::set("mariadb", MARIADB))).await;
}

async fn there_and_back(there: Migrating) {
    let scene = &there.scene;
    let all = there.all();
    scene.deploy(&there.app("v1", "{when: approved}", &all[..1])).succeeded();
    let load = scene.load();
    scene.deploy(&there.app("v2", "{when: approved}", &all)).succeeded();
    there.paid(Stage::Backfill).await;
    assert_eq!(there.sql(MISSING), "0");
    scene.cutover(&["migrations"]).exited(0, &["2_split: contract waits", "cutover approve"]);

    // The old version writes what the new one has to find later.
    scene.cutover(&["rollback"]).succeeded();
    scene.serves("v1").await;
    there.sql(there.dialect.more);
    scene.cutover(&["approve"]).exited(2, &["nothing of production/hello waits for approval"]);
    scene.cutover(&["rollback", "v2"]).succeeded();
    there.paid(Stage::Backfill).await;
    assert_eq!(there.sql(MISSING), "0");
    assert_eq!(there.sql(there.dialect.columns), "id last_name name");

    scene.cutover(&["approve"]).exited(0, &["approves the contract of 2_split", "v1 (release"]);
    there.paid(Stage::Contract).await;
    assert_eq!(there.sql(there.dialect.columns), "id last_name");
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
async fn what_fails_in_the_rehearsal_never_touches_the_database() {
    let there = Migrating::set("rehearsed", POSTGRESQL);
    let (scene, all) = (&there.scene, there.all());
    let copy = Database::start("rehearsed-copy").unwrap();
    let on_the_copy = |sql: &str| {
        let output = Command::new("psql").args(["-XAtc", sql, &copy.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let reference = scene.project.folder().join("copy_url");
    std::fs::write(&reference, &copy.url).unwrap();
    let rehearse = Some(format!("file://{}", reference.display()));
    let app = |version, migrations| App {
        rehearse: rehearse.clone(),
        ..there.app(version, "{when: approved}", migrations)
    };
    scene.deploy(&app("v1", &all[..1])).succeeded();
    let load = scene.load();
    // What nobody who looks at the migrations can know: it is the contract, days later, that would fail.
    on_the_copy("CREATE VIEW names AS SELECT name FROM people");
    scene.deploy(&app("v2", &all)).exited(
        4,
        &[
            "in the rehearsal, and not on the database itself",
            "2_split.contract",
            "other objects depend on it",
        ],
    );
    assert_eq!(there.sql(there.dialect.columns), "id name");
    assert_eq!(on_the_copy("SELECT count(last_name) FROM people"), "20000", "it has come so far");
    scene.serves("v1").await;

    on_the_copy("DROP VIEW names");
    // The steps that are done on the copy aren't done again.
    scene
        .cutover(&["replay"])
        .exited(0, &["applied 2; rehearsed before: 1 part", "AccessExclusiveLock of people"]);
    scene.serves("v2").await;
    assert_eq!(on_the_copy(there.dialect.columns), "id last_name");
    assert_eq!(there.sql(there.dialect.columns), "id last_name name", "the contract is owed");
    scene
        .cutover(&["logs", "--deployment"])
        .exited(0, &["expand | rehearsal: ", "holds AccessExclusiveLock of people"]);
    let report = load.stop().await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);

    // Whatever it is called, the database itself is refused.
    std::fs::write(&reference, there.url().replace("127.0.0.1", "localhost")).unwrap();
    let more = [&all[..], &[("3_more.sql", "ALTER TABLE people ADD COLUMN age int;")]].concat();
    scene.deploy(&app("v3", &more)).exited(4, &["the copy to rehearse on is the database itself"]);
    assert_eq!(there.sql(there.dialect.columns), "id last_name name");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_new_version_reads_is_brought_over_before_it_boots_and_what_is_old_goes_when_nothing_needs_it()
 {
    let there = Migrating::set("first", POSTGRESQL);
    let scene = &there.scene;
    let [table, expand, _, contract] = there.all();
    let first = (
        BACKFILL,
        concat!(
            "-- cutover: before=switch\n-- cutover: table=people\n\
        -- cutover: verify=last_name IS NULL\n",
            "UPDATE people SET last_name = split_part(name, ' ', 2) \
        WHERE :batch AND last_name IS NULL;"
        ),
    );
    scene.deploy(&there.app("v1", "{after: 0s}", &[table])).succeeded();
    let next = App {
        migrations: vec![table, expand, first, contract],
        ..there.app("v2", "{after: 0s, when: elapsed}", &[])
    };
    scene.deploy(&next).exited(0, &["backfill", "20000 rows brought over"]);
    there.paid(Stage::Contract).await;
    assert_eq!(
        (there.sql(there.dialect.columns), there.sql("SELECT count(*) FROM people")),
        ("id last_name".into(), "20000".into())
    );
    // An older tree, without the migration's files.
    let folder = scene.project.folder().join("migrations");
    for name in [EXPAND, BACKFILL, CONTRACT] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    scene
        .deploy(&there.app("v0", "{after: 0s}", &[table]))
        .exited(2, &["release v0 was made without migration 2"]);
    scene.serves("v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_only_the_host_reaches_is_migrated_through_it() {
    Box::pin(through_the_host(Migrating::set("via", POSTGRESQL))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb_a_database_that_only_the_host_reaches_is_migrated_through_it() {
    Box::pin(through_the_host(Migrating::set("via-mariadb", MARIADB))).await;
}

/// It has a name that only the host knows.
async fn through_the_host(there: Migrating) {
    const NAME: &str = "database.internal";
    let scene = &there.scene;
    let machine = Ipv4Addr::from(u32::from(scene.host.address.parse::<Ipv4Addr>().unwrap()) - 1);
    let mut url = url::Url::parse(there.url()).unwrap();
    let server = (Ipv4Addr::LOCALHOST, url.port().unwrap()).into();
    let way = Relay::start_at(machine, server, Duration::ZERO).await.unwrap();
    url.set_host(Some(NAME)).unwrap();
    url.set_port(Some(way.address.port())).unwrap();
    let reference = scene.plane.home().join("database_url");
    std::fs::write(&reference, url.as_str()).unwrap();
    assert!((NAME, 1).to_socket_addrs().is_err(), "this machine knows it, too");
    let app = |version| App {
        database: Some(format!("file://{}", reference.display())),
        via_host: true,
        ..there.app(version, "{when: approved}", &there.all())
    };
    // The host doesn't know it either, yet.
    scene.deploy(&app("v1")).exited(4, &["with via: host the database is reached from the first host"]);
    scene.host.exec(&["sh", "-c", &format!("echo '{machine} {NAME}' >>/etc/hosts")]).unwrap();
    scene.deploy(&app("v2")).succeeded();
    there.paid(Stage::Backfill).await;
    assert_eq!(there.sql(MISSING), "0");
    assert_eq!(there.sql(there.dialect.columns), "id last_name name");
}
