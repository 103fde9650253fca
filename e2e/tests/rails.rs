//! A Rails application that brings its own migrations: both of its versions serve while they are applied, going back is possible
//! until the contract, and what goes wrong in one harms nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cutover_core::{Deployment, Outcome, Progress, Service, Stage, Status, Task};
use cutover_e2e::{Database, Ended, Load, LoadPlan, Relay, root};
use support::{Expect, Scene};

/// What only the second version has.
const SECOND: [&str; 3] = [
    "db/migrate/20260201000000_add_full_name_to_people.rb",
    "db/migrate/20260202000000_index_people_on_full_name.rb",
    "db/post_migrate/20260203000000_drop_name_from_people.rb",
];
/// What stands for the model in the first version.
const FIRST_MODEL: &str = "class Person < ActiveRecord::Base\n  def self.with_name(text)\n    create!(name: text)\n  end\n\n  \
                           def shown_name\n    name\n  end\nend\n";
const FAILS: &str = "class Fails < ActiveRecord::Migration[6.1]\n  def up\n    add_column :people, :half, :text\n    \
                     raise ArgumentError, \"this one can't be\"\n  end\nend\n";
const INDEXES: &str = "class IndexPlainly < ActiveRecord::Migration[6.1]\n  def change\n    \
                       add_index :people, :id, name: \"people_plainly\"\n  end\nend\n";
const HALF: &str = "class AddHalf < ActiveRecord::Migration[6.1]\n  def change\n    \
                    add_column :people, :half, :text\n  end\nend\n";
/// It is at work until somebody opens the gate.
const WAITS: &str = "class Waits < ActiveRecord::Migration[6.1]\n  def up\n    execute \"INSERT INTO marks DEFAULT VALUES\"\n    \
     sleep 0.1 until select_value(\"SELECT open FROM gate\")\n  end\nend\n";
/// Ends all sessions of a host's sshd, and not what listens for others.
const END_SESSIONS: &str = "for process in /proc/[0-9]*; do case \"$(tr '\\0' ' ' <$process/cmdline)\" in \
    'sshd: root'*) kill -KILL ${process#/proc/};; esac; done; true";
const EXPAND: Task = Task { stage: Stage::Expand, host: None };
const COLUMNS: &str = "SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns \
    WHERE table_name = 'people' AND column_name LIKE '%name'";

struct Application {
    scene: Scene,
    database: Database,
    /// Where the host reaches the database, whose server listens on loopback.
    way: Relay,
    /// What is rehearsed on, and where that is reached.
    copy: Option<(Database, Relay)>,
}

impl Application {
    /// The first version, of which nothing is deployed yet.
    async fn set(name: &str) -> Self {
        let (scene, database) = (Scene::set(name), Database::start(name).unwrap());
        let way = reached(&scene, &database).await;
        let there = Self { scene, database, way, copy: None };
        std::fs::remove_file(there.folder().join("hello")).unwrap();
        copy(&example(), there.folder());
        for file in SECOND {
            std::fs::remove_file(there.folder().join(file)).unwrap();
        }
        there.put("app/models/person.rb", FIRST_MODEL);
        there
    }

    fn folder(&self) -> &Path {
        self.scene.project.folder()
    }

    fn put(&self, file: &str, text: &str) {
        std::fs::write(self.folder().join(file), text).unwrap();
    }

    /// Makes it the second version.
    fn advance(&self) {
        for file in SECOND.into_iter().chain(["app/models/person.rb"]) {
            std::fs::copy(example().join(file), self.folder().join(file)).unwrap();
        }
    }

    fn write_deploy_file(&self, version: &str) {
        let refer = |name: &str, url: &str| {
            let reference = self.scene.plane.home().join(name);
            std::fs::write(&reference, url).unwrap();
            reference.display().to_string()
        };
        let reference = refer("database_url", &by(&self.database, &self.way));
        let rehearse = self.copy.as_ref().map_or_else(String::new, |(copy, way)| {
            format!(", rehearse: \"file://{}\"", refer("copy_url", &by(copy, way)))
        });
        let host = &self.scene.host.address;
        let text = format!(
            "service: hello\n\
             builder: {{context: ., args: {{VERSION: {version}}}}}\n\
             port: 3000\n\
             readiness_probe: {{path: /up, period: 250ms, timeout: 2s}}\n\
             env:\n  clear: {{SECRET_KEY_BASE: 0123456789abcdef0123456789abcdef}}\n  \
             secret: {{DATABASE_URL: \"file://{reference}\"}}\n\
             container: {{read_only: true}}\n\
             migrations: {{rails: true, database: \"file://{reference}\", contract: {{when: approved}}{rehearse}}}\n\
             soak: {{time: 1s}}\n\
             timeouts: {{ready: 60s, drain: 10s}}\n\
             destinations: {{production: {{hosts: [{host}]}}}}\n"
        );
        self.put("cutover.yaml", &text);
    }

    /// Makes a copy of the database on a server of its own, to rehearse on from then on.
    async fn copy_to(&mut self, name: &str) {
        let copy = Database::start(name).unwrap();
        let restore = "pg_dump \"$0\" | psql -XAtq -v ON_ERROR_STOP=1 \"$1\"";
        let restored =
            Command::new("sh").args(["-c", restore, &self.database.url, &copy.url]).status().unwrap();
        assert!(restored.success());
        let way = reached(&self.scene, &copy).await;
        self.copy = Some((copy, way));
    }

    fn deploy(&self, version: &str) -> Ended {
        ended(self.start(version))
    }

    /// The output of the last deployment has this.
    fn told(&self, texts: &[&str]) {
        self.scene.cutover(&["logs", "--deployment"]).exited(0, texts);
    }

    /// Begins to deploy it.
    fn start(&self, version: &str) -> Child {
        self.write_deploy_file(version);
        let mut deploy = self.scene.plane.command(self.folder(), &["deploy", "--version", version]);
        deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A session that has read the table and stays in its transaction until its standard input ends.
    fn reader(&self) -> Child {
        let mut psql = Command::new("psql");
        let mut psql = psql
            .args(["-XAtq", &self.database.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.as_mut().unwrap().write_all(b"BEGIN;\nSELECT 'rows', count(*) FROM people;\n").unwrap();
        let mut read = String::new();
        BufReader::new(psql.stdout.as_mut().unwrap()).read_line(&mut read).unwrap();
        assert!(read.starts_with("rows"), "{read}");
        psql
    }

    /// Load that writes rows and reads them back.
    fn load(&self) -> Load {
        let plan = LoadPlan::new(self.scene.host.http().unwrap(), "hello.example");
        // Each request waits for the disk: nothing is said here of how fast that is.
        Load::start(LoadPlan { rate: 40, timeout: Duration::from_secs(60), ..plan })
    }

    fn sql(&self, sql: &str) -> String {
        answer(&self.database, sql)
    }

    /// Waits until the contract is owed no more.
    async fn contracted(&self) {
        let paid =
            |service: &Service| !service.obligations.iter().any(|owed| owed.task.stage == Stage::Contract);
        self.scene.until_service(paid).await;
    }

    /// What runs on the host is one replica, and nothing that migrates.
    fn runs_nothing_else(&self) {
        let there = self.scene.replicas();
        assert!(matches!(there.as_slice(), [one] if one.starts_with("hello-production-")), "{there:?}");
    }

    async fn goes_back_and_forth_until_the_contract(&self) {
        let scene = &self.scene;
        self.advance();
        // Whoever reads for long is waited out, and nobody waits behind the migration meanwhile.
        let mut reader = self.reader();
        let deploy = self.start("v2");
        self.scene.until(|current| at_work(current, "v2", 1, "AddFullNameToPeople got no lock")).await;
        drop(reader.stdin.take());
        reader.wait().unwrap();
        ended(deploy).exited(0, &["applied 20260201000000, 20260202000000"]);
        self.told(&["-- add_column(:people, :full_name, :text)", "IndexPeopleOnFullName: migrated"]);
        scene.serves("v2").await;
        self.runs_nothing_else();
        assert_eq!(self.sql(COLUMNS), "full_name name");
        assert_eq!(self.sql("SELECT count(*) FROM cutover_ledger.fence WHERE service = 'hello'"), "1");
        scene.cutover(&["migrations"]).exited(0, &["20260203000000_drop_name_from_people: contract waits"]);

        scene.cutover(&["rollback"]).succeeded();
        scene.serves("v1").await;
        scene.cutover(&["rollback", "v2"]).succeeded();
        scene.serves("v2").await;
        scene
            .cutover(&["approve"])
            .exited(0, &["approves the contract of 20260203000000_drop_name_from_people"]);
        self.contracted().await;
        assert_eq!(self.sql(COLUMNS), "full_name");
        scene
            .cutover(&["rollback", "v1"])
            .exited(2, &["release v1 was made without migration 20260203000000"]);
        scene.cutover(&["migrations"]).exited(0, &["4 migrations are done"]);
        self.runs_nothing_else();
    }

    async fn fails_with_the_words_of_ruby(&self) {
        self.put("db/migrate/20260301000000_fails.rb", FAILS);
        let said =
            ["20260301000000 Fails failed: ArgumentError: this one can't be", "20260301000000_fails.rb:4"];
        self.deploy("v3").exited(4, &said);
        let ended = self.scene.until(|current| current.outcome().is_some()).await;
        assert_eq!(ended.outcome(), Some(Outcome::Failed));
        assert_eq!(
            self.sql("SELECT count(*) FROM information_schema.columns WHERE column_name = 'half'"),
            "0"
        );
        self.scene.serves("v2").await;
        self.runs_nothing_else();
        std::fs::remove_file(self.folder().join("db/migrate/20260301000000_fails.rb")).unwrap();
    }

    async fn is_applied_once_although_the_migrator_is_killed(&self) {
        self.sql("CREATE TABLE marks (id serial); CREATE TABLE gate (open boolean); INSERT INTO gate VALUES (false)");
        self.put("db/migrate/20260401000000_waits.rb", WAITS);
        let deploy = self.start("v4");
        let first = self.scene.until(|current| at_work(current, "v4", 1, "Waits: migrating")).await;
        let Status::Claimed { claim, .. } = first.state(&EXPAND).status else { panic!("{first:?}") };
        let pid = claim.worker.rsplit(':').next().unwrap();
        assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
        self.scene.until(|current| at_work(current, "v4", 2, "Waits: migrating")).await;
        self.sql("UPDATE gate SET open = true");
        ended(deploy).exited(0, &["applied 20260401000000"]);
        self.told(&["which an earlier attempt has left at work", "Waits: migrated"]);
        let versions = "SELECT count(*) FROM schema_migrations WHERE version = '20260401000000'";
        assert_eq!((self.sql("SELECT count(*) FROM marks"), self.sql(versions)), ("1".into(), "1".into()));
        self.scene.serves("v4").await;
        self.runs_nothing_else();
    }

    async fn goes_on_when_the_way_to_the_host_is_lost(&self) {
        self.sql("UPDATE gate SET open = false");
        self.put("db/migrate/20260501000000_waits_on.rb", &WAITS.replace("Waits", "WaitsOn"));
        let deploy = self.start("v5");
        self.scene.until(|current| at_work(current, "v5", 1, "WaitsOn: migrating")).await;
        self.scene.host.exec(&["sh", "-c", END_SESSIONS]).unwrap();
        self.sql("UPDATE gate SET open = true");
        ended(deploy).exited(0, &["applied 20260501000000"]);
        let ended = self.scene.until(|current| current.outcome().is_some()).await;
        assert_eq!(ended.state(&EXPAND).claims, 1, "another worker had to do it");
        let logs = self.scene.cutover(&["logs", "--deployment"]);
        assert_eq!(logs.out.matches("WaitsOn: migrating").count(), 1, "{}", logs.out);
        assert_eq!(logs.out.matches("WaitsOn: migrated").count(), 1, "{}", logs.out);
        self.scene.serves("v5").await;
        self.runs_nothing_else();
    }
}

/// Whether the expand of a version is at work under the claim of that number, and has come to that step.
fn at_work(deployment: &Deployment, version: &str, claim: u32, at: &str) -> bool {
    let state = deployment.state(&EXPAND);
    deployment.plan.release.version == version
        && state.claims == claim
        && matches!(state.status, Status::Claimed { progress: Some(Progress::Step(step)), .. } if step.contains(at))
}

fn ended(deploy: Child) -> Ended {
    let output = deploy.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn example() -> PathBuf {
    root().join("examples/rails")
}

/// Where a host reaches a database's server.
async fn reached(scene: &Scene, database: &Database) -> Relay {
    let machine = Ipv4Addr::from(u32::from(scene.host.address.parse::<Ipv4Addr>().unwrap()) - 1);
    let server = authority(&database.url).parse().unwrap();
    Relay::start_at(machine, server, Duration::ZERO).await.unwrap()
}

/// The URL of a database by way of that.
fn by(database: &Database, way: &Relay) -> String {
    database.url.replace(authority(&database.url), &way.address.to_string())
}

fn answer(database: &Database, sql: &str) -> String {
    let output = Command::new("psql").args(["-XAtc", sql, &database.url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Host and port of a database's URL.
fn authority(url: &str) -> &str {
    url.split(['@', '/']).nth(3).unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_serve_while_rails_migrates_and_what_goes_wrong_harms_neither() {
    let there = Application::set("rails").await;
    there.deploy("v1").succeeded();
    there.scene.serves("v1").await;
    let load = there.load();
    there.goes_back_and_forth_until_the_contract().await;
    Box::pin(there.fails_with_the_words_of_ruby()).await;
    Box::pin(there.is_applied_once_although_the_migrator_is_killed()).await;
    Box::pin(there.goes_on_when_the_way_to_the_host_is_lost()).await;
    let report = load.stop().await;
    println!("of {} requests, half took {:?} and the slowest {:?}", report.sent, report.p50, report.slowest);
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    for version in ["v1", "v2", "v4", "v5"] {
        assert!(report.first_answer_of(version).is_some(), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_phases_are_rehearsed_on_a_copy_and_on_nothing_else() {
    let mut there = Application::set("rails-copy").await;
    there.deploy("v1").succeeded();
    there.copy_to("rails-rehearsed").await;
    there.advance();
    there.put("db/migrate/20260204000000_index_plainly.rb", INDEXES);
    there.deploy("v2").exited(
        0,
        &[
            "applied 20260201000000, 20260202000000, 20260204000000; rehearsed before: 4 parts",
            "dangerous: index",
        ],
    );
    there.told(&[
        "rehearsal: 20260201000000 ran for ",
        "ALTER TABLE \"people\" ADD \"full_name\" text",
        "rehearsal: == 20260203000000 DropNameFromPeople: migrated",
        "rehearsal: 20260204000000 is dangerous, index: CREATE INDEX",
    ]);
    let (copy, _) = there.copy.as_ref().unwrap();
    assert_eq!((answer(copy, COLUMNS), there.sql(COLUMNS)), ("full_name".into(), "full_name name".into()));
    there.scene.serves("v2").await;
    there.runs_nothing_else();

    // It has the database written down, and takes no other one.
    let own = format!("production:\n  url: {}\n", by(&there.database, &there.way));
    there.put("config/database.yml", &own);
    there.put("db/migrate/20260301000000_add_half.rb", HALF);
    there.deploy("v3").exited(
        4,
        &["in the rehearsal, and not on the database itself", "connects to another database than the copy"],
    );
    let half = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'half'";
    assert_eq!((answer(copy, half), there.sql(half)), ("0".into(), "0".into()));
    there.scene.serves("v2").await;
    there.runs_nothing_else();
}
