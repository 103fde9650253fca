//! A column is added to a table that an old transaction reads: who comes meanwhile, and how soon is it there?

use std::time::{Duration, Instant, SystemTime};

use cutover_core::{Engine, Phase};
use tokio::time::sleep;

use crate::load::Load;
use crate::rounds::{OPEN, RATE, Round, report};
use crate::server::Server;
use crate::work;

const TABLE: &str = "CREATE TABLE posts (id bigint PRIMARY KEY, visits bigint NOT NULL DEFAULT 0);
    INSERT INTO posts SELECT n FROM generate_series(1, 100000) n; VACUUM ANALYZE posts";
const CHANGE: &str = "ALTER TABLE posts ADD title text";
const WRITES: &str = "\\set id random(1, 100000)
BEGIN;
UPDATE posts SET visits = visits + 1 WHERE id = :id;
SELECT visits FROM posts WHERE id = :id;
END;
";
/// A way to make the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Nothing,
    Cutover,
    /// `lock_timeout` 500 ms, tried again after a random pause that grows from 1 s, as pgroll does.
    Retried,
    Plain,
}

impl Way {
    const ALL: [Self; 4] = [Self::Nothing, Self::Cutover, Self::Retried, Self::Plain];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no change",
            Self::Cutover => "Cutover",
            Self::Retried => "ALTER TABLE, lock_timeout 500 ms, tried again",
            Self::Plain => "ALTER TABLE",
        }
    }

    async fn change(self, server: &Server) -> anyhow::Result<()> {
        let session = server.session().await?;
        match self {
            Self::Nothing => {}
            Self::Cutover => work::run(server.url(), Engine::Postgresql, Phase::Expand, CHANGE).await?,
            Self::Plain => session.batch_execute(CHANGE).await?,
            Self::Retried => {
                session.batch_execute("SET lock_timeout = '500ms'").await?;
                let mut pause = Duration::from_secs(1);
                while session.batch_execute(CHANGE).await.is_err() {
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
        "a change behind an 8 s reader, ms",
        &Way::ALL.map(|way| {
            let of_way = all.iter().filter(|(of, _)| *of == way).map(|(_, round)| *round);
            (way.name(), way != Way::Nothing, of_way.collect())
        }),
    );
    Ok(())
}

async fn measure(way: Way) -> anyhow::Result<Round> {
    let server = Server::start("bench-queue").await?;
    let reader = server.session().await?;
    for statement in TABLE.split(';') {
        reader.batch_execute(statement).await?;
    }
    let load = Load::start(server.url(), RATE, &[(WRITES, 1)])?;
    sleep(Duration::from_secs(3)).await;
    let from = SystemTime::now();
    reader.batch_execute("BEGIN; SELECT count(*) FROM posts WHERE id < 10").await?;
    let read = async {
        sleep(OPEN).await;
        reader.batch_execute("COMMIT").await?;
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
    let latency = load.stop(from, SystemTime::now())?;
    Ok(Round { latency, landed })
}
