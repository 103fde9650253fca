//! Replicas, which have to follow.

use std::time::{Duration, Instant};

use cutover_migration::Migration;

use super::super::Session;
use crate::apply::Run;
use crate::{Error, Limits, Progress};

/// From one look to the next while they are behind.
const LOOKS: Duration = Duration::from_millis(500);

/// How far the last of those is behind that follow, in seconds. One that is being made, or that catches up after a day, is
/// none of them. Without the right to see it (`pg_monitor`) there is nothing.
const LAG: &str =
    "SELECT extract(epoch FROM max(replay_lag))::float8 FROM pg_stat_replication WHERE state = 'streaming'";

/// The replicas of a server.
pub(super) struct Replicas<'a> {
    session: &'a Session,
    limits: &'a Limits,
}

impl<'a> Replicas<'a> {
    pub(super) fn new(session: &'a Session, limits: &'a Limits) -> Self {
        Self { session, limits }
    }

    /// Waits until none is further behind than it may be.
    pub(super) async fn wait(&mut self, run: &Run<'_>, migration: &Migration) -> Result<(), Error> {
        let begun = Instant::now();
        let mut told = false;
        loop {
            let lag = self.lag().await?;
            if lag <= self.limits.lag {
                return Ok(());
            }
            if begun.elapsed() >= self.limits.lag_patience {
                let (limit, waited) = (self.limits.lag, begun.elapsed());
                return Err(Error::Lag { file: migration.file().to_owned(), limit, waited });
            }
            if !told {
                told = true;
                run.tell(Progress::Lagging { version: migration.version(), lag });
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    async fn lag(&self) -> Result<Duration, Error> {
        let row = self.session.client().query_one(LAG, &[]).await;
        let lag = row.and_then(|row| row.try_get::<_, Option<f64>>(0));
        let lag = lag.map_err(self.session.error("see how far replicas are behind"))?;
        Ok(lag.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
    }
}
