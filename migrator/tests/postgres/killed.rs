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

/// All phases, in parts of every kind.
pub(crate) const PHASES: [(&str, Phase, &str); 3] = [
    (
        "001",
        Phase::Expand,
        "CREATE TABLE posts (id bigint PRIMARY KEY, old text NOT NULL, visits int NOT NULL DEFAULT 0);
         INSERT INTO posts SELECT n, 'x' || n FROM generate_series(1, 200) n;
         -- cutover: part
         ALTER TABLE posts ADD new text;
         -- cutover: part
         -- cutover: transaction=off
         CREATE INDEX CONCURRENTLY by_new ON posts (new);",
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
        "-- cutover: transaction=off
         REINDEX INDEX CONCURRENTLY posts_pkey;
         -- cutover: part
         -- cutover: transaction=off
         DROP INDEX CONCURRENTLY by_new;
         -- cutover: part
         ALTER TABLE posts DROP COLUMN old;",
    ),
];

/// A kind of key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bigint,
    Uuid,
    Text,
    Composite,
}

impl Kind {
    /// The columns of the key with their types; their names; and the key of row `n`.
    fn key(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Bigint => ("id bigint", "id", "n::bigint"),
            Self::Uuid => ("id uuid", "id", "md5(n::text)::uuid"),
            Self::Text => ("id text COLLATE \"en-x-icu\"", "id", "md5(n::text) || '''É' || n"),
            Self::Composite => ("tenant int, id uuid", "tenant, id", "n % 7, md5(n::text)::uuid"),
        }
    }

    fn tables(self, rows: u32) -> String {
        let (columns, key, values) = self.key();
        format!(
            "CREATE TABLE posts ({columns}, old text NOT NULL, new text, visits int NOT NULL DEFAULT 0, PRIMARY KEY ({key}));
             CREATE TABLE written ({columns}, old text NOT NULL, first boolean NOT NULL DEFAULT false, PRIMARY KEY ({key}));
             INSERT INTO posts SELECT {values}, 'x' || n FROM generate_series(1, {rows}) n;
             INSERT INTO written SELECT {values}, 'x' || n, true FROM generate_series(1, {rows}) n;
             CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.new := upper(NEW.old); RETURN NEW; END';
             CREATE TRIGGER follow BEFORE INSERT OR UPDATE OF old ON posts FOR EACH ROW EXECUTE FUNCTION follow();
             UPDATE posts SET new = NULL;
             ANALYZE;"
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
        let (_, key, values) = self.key();
        format!("({key}) = (SELECT {values} FROM (SELECT {n} AS n) AS one)")
    }

    /// The statement that inserts row `n`.
    pub(crate) fn insert(self, table: &str, n: u32, old: &str) -> String {
        let (_, key, values) = self.key();
        format!("INSERT INTO {table} ({key}, old) SELECT {values}, '{old}' FROM (SELECT {n} AS n) AS one;")
    }

    /// The same to both tables, in one transaction.
    pub(crate) fn both(self, statement: &dyn Fn(&str) -> String) -> String {
        format!("{}{}", statement("posts"), statement("written"))
    }

    /// How many rows are wrong: missed, met twice, or other than written.
    fn wrong(self) -> String {
        let (_, key, _) = self.key();
        format!(
            "SELECT count(*) FROM posts p FULL JOIN written w USING ({key}) WHERE p.old IS DISTINCT FROM w.old \
             OR p.new IS DISTINCT FROM upper(w.old) OR p.visits > 1 OR w.first AND p.visits <> 1"
        )
    }
}

/// How often each is killed, and every which step one is killed at.
fn kills() -> (usize, usize) {
    let kills = std::env::var("CUTOVER_KILLS").ok().map(|kills| kills.parse().unwrap());
    kills.map_or((10, 11), |kills| (kills, 1))
}

async fn killed_at_random(kind: Kind) {
    let (kills, _) = kills();
    // More than come to be brought over between two kills.
    let rows = u32::try_from(2_000 * kills).unwrap();
    let database = Database::new().await;
    database.session().await.batch_execute(&kind.tables(rows)).await.unwrap();
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
    assert_eq!(
        database.count("SELECT count(*) FROM cutover_ledger.migrations WHERE finished_at IS NOT NULL").await,
        0
    );
    assert_eq!(database.apply(Step::Backfill, &work).await.unwrap().applied.len(), 1);
    load.stop().await;
    assert_eq!(database.count("SELECT count(*) FROM posts WHERE visits = 0 AND new IS NULL").await, 0);
    assert_eq!(database.count(&kind.wrong()).await, 0, "rows are wrong");
    assert!(
        database.count("SELECT count(*) FROM written WHERE NOT first").await > 0,
        "nothing was written meanwhile"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_along_a_bigint() {
    Box::pin(killed_at_random(Kind::Bigint)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_along_a_uuid() {
    Box::pin(killed_at_random(Kind::Uuid)).await;
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
    let right = "SELECT count(*) FROM posts WHERE new = 'X' || id AND visits = 1";
    assert_eq!(database.count(right).await, 200, "{last:?}");
    let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'posts'::regclass";
    assert_eq!(database.count(indexes).await, 1, "{last:?}");
    assert_eq!(database.count(&format!("{indexes} AND indisvalid")).await, 1, "{last:?}");
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'posts'::regclass AND attnum > 0 AND NOT attisdropped";
    assert_eq!(database.count(columns).await, 3, "{last:?}");
    !cut
}
