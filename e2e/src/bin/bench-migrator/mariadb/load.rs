//! The load: as pgbench does it, at a steady rate, where latency counts from when a transaction was due.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mysql_async::prelude::Queryable;
use tokio::task::JoinSet;

use super::server::Server;
use crate::load::Latency;

/// Clients.
const CLIENTS: u32 = 4;

/// A kind of transaction: its statements, in which `:id` is a number by chance, and its weight.
pub(crate) type Script = (&'static [&'static str], u32);

/// A load that runs.
pub(crate) struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    taken: Arc<Mutex<Vec<Transaction>>>,
}

/// A transaction.
#[derive(Clone, Copy, Debug)]
struct Transaction {
    due: Instant,
    ended: Instant,
}

impl Load {
    /// Starts four clients that run one of `scripts`, by their weights, `rate` times a second in all, with ids up to `ids`.
    pub(crate) async fn start(
        server: &Server,
        rate: u32,
        ids: u32,
        scripts: &'static [Script],
    ) -> anyhow::Result<Self> {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let mut clients = JoinSet::new();
        let weights: u32 = scripts.iter().map(|(_, weight)| weight).sum();
        for _ in 0..CLIENTS {
            let (mut session, taken) = (server.session().await?, Arc::clone(&taken));
            clients.spawn(async move {
                let mut due = Instant::now();
                loop {
                    // Independent arrivals: the time between two of them is exponential.
                    let gap = -(1.0 - fastrand::f64()).ln() * f64::from(CLIENTS) / f64::from(rate);
                    due += Duration::from_secs_f64(gap);
                    tokio::time::sleep_until(due.into()).await;
                    let mut chosen = fastrand::u32(..weights);
                    let script = scripts.iter().find(|(_, weight)| {
                        let found = chosen < *weight;
                        chosen = chosen.saturating_sub(*weight);
                        found
                    });
                    let id = fastrand::u32(1..=ids).to_string();
                    for statement in script.map(|(statements, _)| *statements).unwrap_or_default() {
                        session.query_drop(statement.replace(":id", &id)).await?;
                    }
                    let mut taken = taken.lock().map_err(|_| anyhow::anyhow!("a client has panicked"))?;
                    taken.push(Transaction { due, ended: Instant::now() });
                }
            });
        }
        Ok(Self { clients, taken })
    }

    /// Stops it; what it met between two times.
    pub(crate) async fn stop(mut self, from: Instant, to: Instant) -> anyhow::Result<Latency> {
        if let Some(ended) = self.clients.try_join_next() {
            ended??;
        }
        ensure!(self.clients.len() == CLIENTS as usize, "a client ended by itself");
        self.clients.shutdown().await;
        let taken = self.taken.lock().map_err(|_| anyhow::anyhow!("a client has panicked"))?;
        let within = |transaction: &&Transaction| transaction.ended >= from && transaction.due <= to;
        let took = taken.iter().filter(within).map(|transaction| transaction.ended - transaction.due);
        Latency::of(took.collect()).context("there were no transactions")
    }
}
