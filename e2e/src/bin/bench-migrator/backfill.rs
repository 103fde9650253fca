//! A million rows are brought over while others are inserted, updated and deleted.

use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;
use cutover_core::{Engine, Phase};
use tokio::time::sleep;

use crate::load::{Latency, Load};
use crate::server::Server;
use crate::work;

const FILL: &str = "-- cutover: table=posts\n-- cutover: verify=new IS NULL\n\
    UPDATE posts SET new = upper(old) WHERE :batch AND new IS NULL";
const PLAIN: &str = "UPDATE posts SET new = upper(old) WHERE new IS NULL";

/// Transactions per second.
pub(crate) const RATE: u32 = 200;

/// A way to bring rows over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Nothing,
    Cutover,
    Plain,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Nothing, Self::Cutover, Self::Plain];

    /// The name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no backfill",
            Self::Cutover => "Cutover",
            Self::Plain => "one UPDATE",
        }
    }
}

/// Measures each way once, and prints it.
pub(crate) async fn print(rows: u32) -> anyhow::Result<()> {
    head("a backfill, ms");
    for way in Way::ALL {
        let (latency, took) = measure(way, rows).await?;
        line(way, rows, latency, took);
    }
    Ok(())
}

/// Prints the head of a table.
pub(crate) fn head(title: &str) {
    println!("\n{title:<30}{:>9}{:>9}{:>9}{:>9}{:>9}", "p50", "p99", "max", "s", "rows/s");
}

/// Prints what was met while `rows` rows were brought over in a way.
pub(crate) fn line(way: Way, rows: u32, latency: Latency, took: Duration) {
    let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(|time| time.as_secs_f64() * 1e3);
    let speed = match way {
        Way::Nothing => format!("{:>9}{:>9}", "–", "–"),
        _ => format!("{:>9.1}{:>9.0}", took.as_secs_f64(), f64::from(rows) / took.as_secs_f64()),
    };
    println!("{:<30}{p50:>9.1}{p99:>9.1}{max:>9.1}{speed}", way.name());
}

async fn measure(way: Way, rows: u32) -> anyhow::Result<(Latency, Duration)> {
    let server = Server::start("bench-backfill").await?;
    let session = server.session().await?;
    for statement in [
        "CREATE TABLE posts (id bigint PRIMARY KEY, old text NOT NULL, new text)".to_owned(),
        "CREATE SEQUENCE fresh".to_owned(),
        format!("SELECT setval('fresh', {rows})"),
        format!("INSERT INTO posts SELECT n, 'some text of row ' || n FROM generate_series(1, {rows}) n"),
        // As an expansion leaves it: what is written from now on is written in both forms.
        "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.new := upper(NEW.old); RETURN NEW; END'"
            .to_owned(),
        "CREATE TRIGGER follow BEFORE INSERT OR UPDATE OF old ON posts FOR EACH ROW EXECUTE FUNCTION follow()".to_owned(),
        "VACUUM ANALYZE posts".to_owned(),
        "CHECKPOINT".to_owned(),
    ] {
        session.batch_execute(&statement).await?;
    }
    let id = format!("\\set id random(1, {rows})\n");
    let load = Load::start(
        server.url(),
        RATE,
        &[
            (&format!("{id}SELECT old, new FROM posts WHERE id = :id;\n"), 5),
            (&format!("{id}UPDATE posts SET old = 'changed ' || :id WHERE id = :id;\n"), 3),
            ("INSERT INTO posts (id, old) VALUES (nextval('fresh'), 'fresh');\n", 2),
            (&format!("{id}DELETE FROM posts WHERE id = :id;\n"), 1),
        ],
    )?;
    sleep(Duration::from_secs(3)).await;
    let (from, begun) = (SystemTime::now(), Instant::now());
    match way {
        Way::Nothing => sleep(Duration::from_secs(20)).await,
        Way::Cutover => work::run(server.url(), Engine::Postgresql, Phase::Backfill, FILL).await?,
        Way::Plain => session.batch_execute(PLAIN).await?,
    }
    let (took, to) = (begun.elapsed(), SystemTime::now());
    // What has waited for it until now ends, and is written down.
    sleep(Duration::from_secs(3)).await;
    let latency = load.stop(from, to)?;
    if way != Way::Nothing {
        let left = session
            .query_one("SELECT count(*) FROM posts WHERE new IS DISTINCT FROM upper(old)", &[])
            .await?;
        ensure!(left.try_get::<_, i64>(0)? == 0, "{}: rows were left", way.name());
    }
    Ok((latency, took))
}
