//! A million rows are brought over while others are inserted, updated and deleted.

use std::time::{Duration, Instant};

use anyhow::ensure;
use cutover_core::{Engine, Phase};
use mysql_async::prelude::Queryable;
use tokio::time::sleep;

use super::load::{Load, Script};
use super::server::Server;
use crate::backfill::{RATE, Way, head, line};
use crate::load::Latency;
use crate::work;

const FILL: &str = "-- cutover: table=posts\n-- cutover: verify=new IS NULL\n\
    UPDATE posts SET new = upper(old) WHERE :batch AND new IS NULL";
const PLAIN: &str = "UPDATE posts SET new = upper(old) WHERE new IS NULL";

const LOAD: &[Script] = &[
    (&["SELECT old, new FROM posts WHERE id = :id"], 5),
    (&["UPDATE posts SET old = 'changed :id' WHERE id = :id"], 3),
    (&["INSERT INTO posts (old) VALUES ('fresh')"], 2),
    (&["DELETE FROM posts WHERE id = :id"], 1),
];

/// Measures each way once, and prints it.
pub(crate) async fn print(rows: u32) -> anyhow::Result<()> {
    head("MariaDB: a backfill, ms");
    for way in Way::ALL {
        let (latency, took) = measure(way, rows).await?;
        line(way, rows, latency, took);
    }
    Ok(())
}

async fn measure(way: Way, rows: u32) -> anyhow::Result<(Latency, Duration)> {
    let server = Server::start("bench-backfill")?;
    let mut session = server.session().await?;
    for statement in [
        "CREATE TABLE posts (id bigint AUTO_INCREMENT PRIMARY KEY, old varchar(80) NOT NULL, new varchar(80))".to_owned(),
        format!("INSERT INTO posts SELECT seq, CONCAT('some text of row ', seq), NULL FROM seq_1_to_{rows}"),
        // As an expansion leaves it: what is written from now on is written in both forms.
        "CREATE TRIGGER inserted BEFORE INSERT ON posts FOR EACH ROW SET NEW.new = upper(NEW.old)".to_owned(),
        "CREATE TRIGGER updated BEFORE UPDATE ON posts FOR EACH ROW SET NEW.new = upper(NEW.old)".to_owned(),
        "ANALYZE TABLE posts".to_owned(),
    ] {
        session.query_drop(statement).await?;
    }
    let load = Load::start(&server, RATE, rows, LOAD).await?;
    sleep(Duration::from_secs(3)).await;
    let begun = Instant::now();
    match way {
        Way::Nothing => sleep(Duration::from_secs(20)).await,
        Way::Cutover => work::run(server.url(), Engine::Mariadb, Phase::Backfill, FILL).await?,
        Way::Plain => session.query_drop(PLAIN).await?,
    }
    let took = begun.elapsed();
    let latency = load.stop(begun, Instant::now()).await?;
    if way != Way::Nothing {
        let left: Option<i64> =
            session.query_first("SELECT count(*) FROM posts WHERE NOT (new <=> upper(old))").await?;
        ensure!(left == Some(0), "{}: rows were left", way.name());
    }
    Ok((latency, took))
}
