//! A column is added to a table that an old transaction reads: who comes meanwhile, and how soon is it there?

use std::time::{Duration, Instant};

use cutover_core::{Engine, Phase};
use mysql_async::prelude::Queryable;
use tokio::time::sleep;

use super::load::{Load, Script};
use super::server::Server;
use crate::rounds::{OPEN, RATE, Round, report};
use crate::work;

const TABLE: [&str; 3] = [
    "CREATE TABLE posts (id bigint PRIMARY KEY, visits bigint NOT NULL DEFAULT 0)",
    "INSERT INTO posts (id) SELECT seq FROM seq_1_to_100000",
    "ANALYZE TABLE posts",
];
const CHANGE: &str = "ALTER TABLE posts ADD title text, ALGORITHM=INSTANT";
const WRITES: &[Script] = &[(
    &[
        "BEGIN",
        "UPDATE posts SET visits = visits + 1 WHERE id = :id",
        "SELECT visits FROM posts WHERE id = :id",
        "COMMIT",
    ],
    1,
)];

/// A way to make the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Nothing,
    Cutover,
    /// `lock_wait_timeout` 1 s, the shortest that MySQL has, tried again after a random pause that grows from 1 s.
    Retried,
    Plain,
}

impl Way {
    const ALL: [Self; 4] = [Self::Nothing, Self::Cutover, Self::Retried, Self::Plain];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no change",
            Self::Cutover => "Cutover",
            Self::Retried => "ALTER TABLE, lock_wait_timeout 1 s, tried again",
            Self::Plain => "ALTER TABLE",
        }
    }

    async fn change(self, server: &Server) -> anyhow::Result<()> {
        let mut session = server.session().await?;
        match self {
            Self::Nothing => {}
            Self::Cutover => work::run(server.url(), Engine::Mariadb, Phase::Expand, CHANGE).await?,
            Self::Plain => session.query_drop(CHANGE).await?,
            Self::Retried => {
                session.query_drop("SET lock_wait_timeout = 1").await?;
                let mut pause = Duration::from_secs(1);
                while session.query_drop(CHANGE).await.is_err() {
                    sleep(pause.mul_f64(fastrand::f64())).await;
                    pause = (pause * 2).min(Duration::from_secs(60));
                }
            }
        }
        Ok(())
    }
}

/// Measures each way so often, one after the other in each round, and prints medians.
pub(crate) async fn print(rounds: usize) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for _ in 0..rounds {
        for way in Way::ALL {
            all.push((way, measure(way).await?));
        }
    }
    report(
        "MariaDB: a change behind an 8 s reader, ms",
        &Way::ALL.map(|way| {
            let of_way = all.iter().filter(|(of, _)| *of == way).map(|(_, round)| *round);
            (way.name(), way != Way::Nothing, of_way.collect())
        }),
    );
    Ok(())
}

async fn measure(way: Way) -> anyhow::Result<Round> {
    let server = Server::start("bench-queue")?;
    let mut reader = server.session().await?;
    for statement in TABLE {
        reader.query_drop(statement).await?;
    }
    let load = Load::start(&server, RATE, 100_000, WRITES).await?;
    sleep(Duration::from_secs(3)).await;
    let from = Instant::now();
    reader.query_drop("BEGIN; SELECT count(*) FROM posts WHERE id < 10").await?;
    let read = async {
        sleep(OPEN).await;
        reader.query_drop("COMMIT").await?;
        anyhow::Ok(Instant::now())
    };
    let changed = async {
        sleep(Duration::from_secs(1)).await;
        way.change(&server).await?;
        anyhow::Ok(Instant::now())
    };
    let (read, changed) = tokio::join!(read, changed);
    let landed = changed?.saturating_duration_since(read?);
    sleep(Duration::from_secs(1)).await;
    let latency = load.stop(from, Instant::now()).await?;
    Ok(Round { latency, landed })
}
