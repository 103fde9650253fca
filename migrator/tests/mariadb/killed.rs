//! Migrators that are killed at each step and at any point of a backfill. A few times in all tests; as often as
//! `CUTOVER_KILLS` says in `make bench-migrator ARGS=kill`.

use std::net::SocketAddr;
use std::time::Duration;

use cutover_core::Phase;
use cutover_migrator::{Step, Work};

use crate::load::Load;
use crate::relay::{Last, Relay};
use crate::support::{Database, LIMIT, phases};
use crate::victim::{self, Task};

/// All phases, in statements of every kind. Most of them can't be done twice, or are seen where they were.
pub(crate) const PHASES: [(&str, Phase, &str); 3] = [
    (
        "001",
        Phase::Expand,
        "CREATE TABLE posts (id bigint PRIMARY KEY, old varchar(20) NOT NULL, visits int NOT NULL DEFAULT 0, gone bigint);
         INSERT INTO posts (id, old) SELECT seq, CONCAT('x', seq) FROM seq_1_to_200;
         UPDATE posts SET visits = visits - 1;
         ALTER TABLE posts ADD new varchar(20), ALGORITHM=INSTANT;
         CREATE TRIGGER counted BEFORE UPDATE ON posts FOR EACH ROW SET NEW.visits = NEW.visits + 1;
         ALTER TABLE posts ADD INDEX by_new (new), ALGORITHM=INPLACE, LOCK=NONE;
         SET STATEMENT foreign_key_checks = 0 FOR ALTER TABLE posts ADD CONSTRAINT itself FOREIGN KEY (gone) REFERENCES posts (id), ALGORITHM=INPLACE, LOCK=NONE;
         CREATE VIEW seen AS SELECT id FROM posts;
         CREATE TABLE tags (id int);",
    ),
    (
        "001",
        Phase::Backfill,
        "-- cutover: table=posts
         -- cutover: batch=100
         -- cutover: verify=new IS NULL
         UPDATE posts SET new = upper(old), visits = visits + 1 WHERE :batch;",
    ),
    (
        "001",
        Phase::Contract,
        "ALTER TABLE posts MODIFY new varchar(20) NOT NULL, ALGORITHM=INPLACE, LOCK=NONE;
         DROP VIEW seen;
         ALTER TABLE posts DROP FOREIGN KEY itself, ALGORITHM=INPLACE, LOCK=NONE;
         DROP TRIGGER counted;
         ALTER TABLE posts RENAME COLUMN visits TO visited, ALGORITHM=INSTANT;
         ALTER TABLE posts DROP COLUMN old, ALGORITHM=INSTANT;
         DROP INDEX by_new ON posts;
         RENAME TABLE tags TO labels;",
    ),
];

/// A kind of key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bigint,
    Binary,
    Text,
    Composite,
}

impl Kind {
    /// The columns of the key: name, type, and its value in row `:n`.
    fn key(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Self::Bigint => &[("id", "bigint", ":n")],
            Self::Binary => &[("id", "binary(16)", "UNHEX(MD5(:n))")],
            Self::Text => &[("id", "varchar(60) COLLATE utf8mb4_unicode_ci", "CONCAT(MD5(:n), '''É', :n)")],
            Self::Composite => &[
                ("tenant", "int", ":n % 7"),
                (
                    "id",
                    "uuid",
                    "CONCAT(LPAD(HEX(:n * 48271 % 65521), 8, '0'), '-0000-4000-8000-', LPAD(:n, 12, '0'))",
                ),
            ],
        }
    }

    fn columns(
        self,
        each: impl Fn(&(&'static str, &'static str, &'static str)) -> String,
        between: &str,
    ) -> String {
        self.key().iter().map(each).collect::<Vec<_>>().join(between)
    }

    fn names(self) -> String {
        self.columns(|(name, ..)| (*name).to_owned(), ", ")
    }

    fn values(self, n: &str) -> String {
        self.columns(|(.., value)| value.replace(":n", n), ", ")
    }

    fn tables(self, rows: u32) -> String {
        let columns = self.columns(|(name, kind, _)| format!("{name} {kind}"), ", ");
        let (key, values) = (self.names(), self.values("seq"));
        format!(
            "CREATE TABLE posts ({columns}, old varchar(40) NOT NULL, new varchar(40), visits int NOT NULL DEFAULT 0, PRIMARY KEY ({key}));
             CREATE TABLE written ({columns}, old varchar(40) NOT NULL, first boolean NOT NULL DEFAULT false, PRIMARY KEY ({key}));
             INSERT INTO posts SELECT {values}, CONCAT('x', seq), NULL, 0 FROM seq_1_to_{rows};
             INSERT INTO written SELECT {values}, CONCAT('x', seq), true FROM seq_1_to_{rows};
             CREATE TRIGGER inserted BEFORE INSERT ON posts FOR EACH ROW SET NEW.new = upper(NEW.old);
             CREATE TRIGGER updated BEFORE UPDATE ON posts FOR EACH ROW SET NEW.new = upper(NEW.old);"
        )
    }

    /// A backfill that would not hide that it has met a row twice.
    pub(crate) fn work(self) -> Work {
        let fill = "-- cutover: table=posts\n-- cutover: batch=100\n-- cutover: verify=new IS NULL\n\
                    UPDATE posts SET new = upper(old), visits = visits + 1 WHERE :batch";
        phases(&[("001", Phase::Backfill, fill)])
    }

    /// The condition for row `n`.
    pub(crate) fn is(self, n: u32) -> String {
        self.columns(|(name, _, value)| format!("{name} = {}", value.replace(":n", &n.to_string())), " AND ")
    }

    /// The statement that inserts row `n`.
    pub(crate) fn insert(self, table: &str, n: u32, old: &str) -> String {
        let (key, values) = (self.names(), self.values(&n.to_string()));
        format!("INSERT INTO {table} ({key}, old) VALUES ({values}, '{old}');")
    }

    /// The same to both tables, in one transaction.
    pub(crate) fn both(self, statement: &dyn Fn(&str) -> String) -> String {
        format!("{}{}", statement("posts"), statement("written"))
    }

    /// How many rows are wrong: missed, met twice, or other than written.
    fn wrong(self) -> String {
        let key = self.names();
        format!(
            "SELECT (SELECT COUNT(*) FROM posts p LEFT JOIN written w USING ({key}) WHERE NOT (p.old <=> w.old) \
             OR NOT (p.new <=> upper(w.old)) OR p.visits > 1 OR w.first AND p.visits <> 1) \
             + (SELECT COUNT(*) FROM written w LEFT JOIN posts p USING ({key}) WHERE p.old IS NULL)"
        )
    }
}

/// How often each is killed, and every which step one is killed at.
fn kills() -> (usize, usize) {
    let kills = std::env::var("CUTOVER_KILLS").ok().map(|kills| kills.parse().unwrap());
    kills.map_or((10, 13), |kills| (kills, 1))
}

async fn killed_at_random(kind: Kind) {
    let (kills, _) = kills();
    // More than come to be brought over between two kills.
    let rows = u32::try_from(2_000 * kills).unwrap();
    let database = Database::new().await;
    database.run(&kind.tables(rows)).await;
    let load = Load::start(&database, kind, rows).await;
    let task = Task::Backfill(kind);
    for kill in 0..kills {
        let url = database.url.expose().to_owned();
        let started = tokio::task::spawn_blocking(move || {
            let mut victim = victim::start(&url, task, 1 + kill as u64);
            let at_work = victim.is_at_work();
            (victim, at_work)
        });
        let (mut victim, at_work) = started.await.unwrap();
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..40_000))).await;
        victim.kill();
        assert!(at_work, "it had ended after {kill} kills");
    }
    let work = task.work(1 + kills as u64);
    let ended = "SELECT COUNT(*) FROM cutover_ledger_migrations WHERE finished_at IS NOT NULL";
    assert_eq!(database.count(ended).await, 0);
    assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().applied.len(), 1);
    load.stop().await;
    assert_eq!(database.count("SELECT COUNT(*) FROM posts WHERE visits = 0 AND new IS NULL").await, 0);
    assert_eq!(database.count(&kind.wrong()).await, 0, "rows are wrong");
    assert!(
        database.count("SELECT COUNT(*) FROM written WHERE NOT first").await > 0,
        "nothing was written meanwhile"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_along_a_bigint() {
    Box::pin(killed_at_random(Kind::Bigint)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_along_a_binary() {
    Box::pin(killed_at_random(Kind::Binary)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_along_a_text() {
    Box::pin(killed_at_random(Kind::Text)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_along_two_columns() {
    Box::pin(killed_at_random(Kind::Composite)).await;
}

/// At each message that a migrator sends: before the server has it, and after the server has done what it asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_step_of_all_phases() {
    let (_, every) = kills();
    let mut message = fastrand::usize(1..=every);
    let mut survived = false;
    while !survived {
        let messages = [message, message + every, message + 2 * every];
        let killed =
            messages.into_iter().flat_map(|message| [Last::Lost(message), Last::Unanswered(message)]);
        let killed = futures_util::future::join_all(killed.map(|last| Box::pin(killed_after(last)))).await;
        survived = killed.ends_with(&[true, true]);
        message += 3 * every;
    }
    assert!(message > 100, "all of it was less than {message} messages");
}

/// Whether the last message never came.
async fn killed_after(last: Last) -> bool {
    let database = Database::new().await;
    let (before, rest) = database.url.expose().rsplit_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let mut relay = Relay::start(server.parse::<SocketAddr>().unwrap(), last).await;
    let url = format!("{before}@{}/{name}", relay.address);
    let mut victim = victim::start(&url, Task::Phases, 1);
    let ended = async {
        while !victim.has_succeeded() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let cut = tokio::time::timeout(LIMIT, async {
        tokio::select! {
            () = relay.is_cut() => true,
            () = ended => false,
        }
    });
    let cut = cut.await.expect("neither cut off nor done");
    victim.kill();
    drop(relay);
    let work = Task::Phases.work(2);
    for step in Task::Phases.steps() {
        let done = database.apply(*step, &work).await;
        done.unwrap_or_else(|error| panic!("{last:?}, {step:?}: {error}: {error:?}"));
    }
    // Each update counts, the trigger's too, which was made after the first one: -1 + 1 + 1.
    let right = "SELECT COUNT(*) FROM posts WHERE new = CONCAT('X', id) AND visited = 1";
    assert_eq!(database.count(right).await, 200, "{last:?}");
    let columns = "SELECT GROUP_CONCAT(column_name, is_nullable ORDER BY column_name) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'posts'";
    assert_eq!(database.value::<String>(columns).await, "goneYES,idNO,newNO,visitedNO", "{last:?}");
    for (left, of) in [
        (2 + 4, "tables WHERE table_schema = DATABASE()"),
        (1, "tables WHERE table_schema = DATABASE() AND table_name = 'labels'"),
        (0, "triggers WHERE trigger_schema = DATABASE()"),
        (0, "table_constraints WHERE table_schema = DATABASE() AND constraint_name = 'itself'"),
        (0, "statistics WHERE table_schema = DATABASE() AND index_name = 'by_new'"),
    ] {
        let found = database.count(&format!("SELECT COUNT(*) FROM information_schema.{of}")).await;
        assert_eq!(found, left, "{last:?}: {of}");
    }
    !cut
}
