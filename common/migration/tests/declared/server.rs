//! The servers, databases on them, and migrations applied by their own clients.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use cutover_core::{Digest, Engine, MigrationFile, Phase};
use cutover_migration::{Compiled, Kind, Migration};

/// A server of this test binary. Its script stops it and removes its files once this process, which holds the other end of
/// its standard input, is gone.
struct Server {
    _process: Child,
    port: u16,
    password: String,
}

fn server(engine: Engine) -> &'static Server {
    static POSTGRESQL: OnceLock<Server> = OnceLock::new();
    static MARIADB: OnceLock<Server> = OnceLock::new();
    let (server, script) = match engine {
        Engine::Postgresql => (&POSTGRESQL, "postgres.sh"),
        Engine::Mysql | Engine::Mariadb => (&MARIADB, "mariadb.sh"),
    };
    // Between the choice of a free port and its use another process may take it.
    server.get_or_init(|| (0..5).find_map(|_| start(script)).expect("no server could be started"))
}

fn start(script: &str) -> Option<Server> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let name = format!("cutover-declared-{}-{port}", std::process::id());
    let mut process = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(script))
        .arg("run")
        .arg(std::env::temp_dir().join(name))
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let password = url.split_once("://cutover:").and_then(|(_, rest)| rest.split_once('@'));
    if let Some((password, _)) = password {
        return Some(Server { _process: process, port, password: password.to_owned() });
    }
    // The script has said why it ended.
    process.wait().unwrap();
    None
}

/// An empty database.
pub(crate) struct Database {
    engine: Engine,
    name: String,
}

impl Database {
    pub(crate) fn new(engine: Engine) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { engine, name: "cutover".to_owned() }.run(&format!("CREATE DATABASE {name}"));
        Self { engine, name }
    }

    /// Runs SQL as an application would, and returns what it answers: columns with `|` between them, one row on each line.
    pub(crate) fn run(&self, sql: &str) -> String {
        self.client(sql, false).expect(sql)
    }

    /// Runs SQL that the server is to refuse, and returns what it says.
    pub(crate) fn refused(&self, sql: &str) -> String {
        self.client(sql, false).expect_err(sql)
    }

    fn client(&self, sql: &str, in_transaction: bool) -> Result<String, String> {
        let server = server(self.engine);
        let port = server.port.to_string();
        let mut client = match self.engine {
            Engine::Postgresql => {
                let mut psql = Command::new("psql");
                psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &port])
                    .args(["-U", "cutover", "-d", &self.name, "-f", "-"])
                    .args(in_transaction.then_some("--single-transaction"))
                    .env("PGPASSWORD", &server.password);
                psql
            }
            Engine::Mysql | Engine::Mariadb => {
                let mut mariadb = Command::new("mariadb");
                mariadb
                    .args(["--no-defaults", "--batch", "--skip-column-names", "--delimiter=//"])
                    .args(["--host=127.0.0.1", "--user=cutover"])
                    .args([format!("--port={port}"), format!("--database={}", self.name)])
                    .env("MYSQL_PWD", &server.password);
                mariadb
            }
        };
        let mut client =
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        client.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let output = client.wait_with_output().unwrap();
        if output.status.success() {
            let text = String::from_utf8(output.stdout).unwrap();
            Ok(text.trim_end().replace('\t', "|"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Applies a phase of a declaration as the migrator would; rows in batches of two. Ids are numbers from 1.
    pub(crate) fn apply(&self, declaration: &str, version: &str, phase: Phase) {
        for migration in self.compile(declaration, version, phase) {
            match migration.kind() {
                Kind::Backfill(backfill) => {
                    let (table, alias) = (&backfill.table, &backfill.alias);
                    let most: i64 =
                        self.run(&format!("SELECT coalesce(max(id), 0) FROM {table}")).parse().unwrap();
                    let ranges = (0..=most / 2).map(|batch| (batch * 2, batch * 2 + 2));
                    for (from, to) in ranges {
                        let range = format!("{alias}.id > {from} AND {alias}.id <= {to}");
                        self.run(&backfill.statement(&range));
                    }
                    let left = format!("SELECT count(*) FROM {table} WHERE {}", backfill.verify);
                    assert_eq!(self.run(&left), "0", "{}", migration.sql());
                }
                kind => {
                    let done = self.client(migration.sql(), *kind == Kind::Transaction);
                    let sql = migration.sql();
                    done.expect(sql);
                }
            }
        }
    }

    /// Applies a phase that the server is to refuse, and returns what it says.
    pub(crate) fn fails(&self, declaration: &str, version: &str, phase: Phase) -> String {
        let sql: String = self.compile(declaration, version, phase).iter().map(Migration::sql).collect();
        self.client(&sql, true).expect_err(&sql)
    }

    fn compile(&self, declaration: &str, version: &str, phase: Phase) -> Vec<Migration> {
        let compiled = Compiled::read(declaration, "declaration.yaml", version, self.engine).unwrap();
        let Some((_, sql)) = compiled.phases().find(|(of, _)| *of == phase) else { return Vec::new() };
        let content = Digest::of(sql.as_bytes());
        let file = MigrationFile { phase, ..MigrationFile::expand(version, "declared", content) };
        Migration::read(&file, sql, self.engine).unwrap()
    }
}
