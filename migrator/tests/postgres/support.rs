//! The server, databases on it, and what tests ask of them.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cutover_core::{Digest, Engine, Epoch, JournalId, MigrationFile, Phase};
use cutover_migration::{Migration, Migrations};
use cutover_migrator::{Applied, Error, Limits, Progress, Step, Work};
use cutover_secrets::Secret;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{Client, NoTls};

/// How long a test waits for anything before it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// A server. The script stops it and removes its files once whoever holds the other end of its standard input is gone.
pub(crate) struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// A server of a test's own.
    pub(crate) fn start() -> Self {
        // Between the choice of a free port and its use another process may take it.
        (0..5).find_map(|_| start(None)).expect("no PostgreSQL server could be started")
    }

    /// A replica of this one.
    pub(crate) fn replica(&self) -> Self {
        (0..5).find_map(|_| start(Some(&self.url))).expect("no replica could be started")
    }

    /// The address of the database that it has from the start.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The server of all other tests in this binary.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

fn start(primary: Option<&str>) -> Option<Server> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = std::env::temp_dir().join(format!("cutover-postgres-{}-{port}", std::process::id()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/postgres.sh");
    let mut process = Command::new(script)
        .arg("run")
        .args([directory.as_os_str(), port.to_string().as_ref()])
        .args(primary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
    url.starts_with("postgres://").then(|| Server { process, url: url.trim().to_owned() })
}

/// An empty database.
pub(crate) struct Database {
    pub(crate) url: Secret,
}

impl Database {
    pub(crate) async fn new() -> Self {
        Self::on(server()).await
    }

    /// One on a certain server.
    pub(crate) async fn on(server: &Server) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let server = server.url();
        connect(server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { url: Secret::new(format!("{base}/{name}")) }
    }

    /// A session of an application.
    pub(crate) async fn session(&self) -> Client {
        connect(self.url.expose()).await
    }

    /// One number.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.session().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Waits until `condition`, a query of one boolean, holds.
    pub(crate) async fn until(&self, condition: &str) {
        let session = self.session().await;
        let holds = async {
            while !session.query_one(condition, &[]).await.unwrap().get::<_, bool>(0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, holds).await.unwrap_or_else(|_| panic!("never came true: {condition}"));
    }

    /// Expands, within the limit of all tests.
    pub(crate) async fn expand(&self, work: &Work) -> Result<Applied, Error> {
        self.apply(Step::Expand, work).await
    }

    /// Expands, and returns what was told too.
    pub(crate) async fn expand_within(
        &self,
        work: &Work,
        limits: &Limits,
    ) -> (Result<Applied, Error>, UnboundedReceiver<Progress>) {
        self.apply_within(Step::Expand, work, limits).await
    }

    /// Does a step, within the limit of all tests.
    pub(crate) async fn apply(&self, step: Step, work: &Work) -> Result<Applied, Error> {
        self.apply_within(step, work, &Limits::default()).await.0
    }

    /// Does a step, and returns what was told too.
    pub(crate) async fn apply_within(
        &self,
        step: Step,
        work: &Work,
        limits: &Limits,
    ) -> (Result<Applied, Error>, UnboundedReceiver<Progress>) {
        let (progress, told) = unbounded_channel();
        let applied = cutover_migrator::apply(&self.url, step, work, limits, &progress);
        (Box::pin(tokio::time::timeout(LIMIT, applied)).await.expect("it never ended"), told)
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A service's migrations of the first phase, numbered from 1, under the claim `sequence` of the journal `journal`.
pub(crate) fn expansion(journal: &str, sequence: u64, files: &[&str]) -> Work {
    let names: Vec<String> = (1..=files.len()).map(|number| format!("{number:03}")).collect();
    let files = names.iter().zip(files).map(|(name, sql)| (name.as_str(), Phase::Expand, *sql));
    work(journal, sequence, &files.collect::<Vec<_>>())
}

/// The usual one.
pub(crate) fn migrations(files: &[&str]) -> Work {
    expansion("journal", 7, files)
}

/// Migrations of all phases: their versions, phases and SQL.
pub(crate) fn phases(files: &[(&str, Phase, &str)]) -> Work {
    work("journal", 7, files)
}

fn work(journal: &str, sequence: u64, files: &[(&str, Phase, &str)]) -> Work {
    let read = |(version, phase, sql): &(&str, Phase, &str)| {
        let expand = MigrationFile::expand(*version, "change", Digest::of(sql.as_bytes()));
        Migration::read(&MigrationFile { phase: *phase, ..expand }, sql, Engine::Postgresql).unwrap()
    };
    Work {
        service: "shop".parse().unwrap(),
        engine: Engine::Postgresql,
        deployment: "01jd0000000000000000000000".parse().unwrap(),
        epoch: Epoch { journal: JournalId(journal.to_owned()), sequence },
        migrations: Migrations::new(files.iter().flat_map(read).collect()).unwrap(),
    }
}
