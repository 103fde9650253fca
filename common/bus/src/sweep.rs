//! The sweep: looks whether something is due for a service that nobody has published, and purges what nobody needs.

use std::sync::Arc;

use cutover_core::{Duty, ServiceKey};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

use crate::duties::Pace;
use crate::logs::Logs;
use crate::stored::now;
use crate::{Error, Held, StandingWork};

/// The sweep of each service whose lease this program holds, one after the other.
pub(crate) struct Sweep {
    logs: Arc<Logs>,
    pace: Pace,
    one: Semaphore,
}

impl Sweep {
    pub(crate) fn new(logs: Arc<Logs>, pace: Pace) -> Self {
        Self { logs, pace, one: Semaphore::new(1) }
    }

    async fn sweep(&self, key: &ServiceKey, purges: bool) -> Result<(), Error> {
        self.logs.carry_out(key, now()).await?;
        if let Some(kept) =
            self.pace.kept_deployments.filter(|_| purges && self.logs.journal().bus().administers())
        {
            self.logs.journal().purge(key, kept).await?;
        }
        Ok(())
    }
}

impl StandingWork for Sweep {
    const DUTY: Duty = Duty::Sweep;

    async fn hold(&self, held: Held) {
        let key = held.key();
        let mut purge = Instant::now();
        loop {
            let turn = self.one.acquire().await;
            let begun = Instant::now();
            let purges = purge <= begun;
            match timeout(self.pace.lease.renewed_every, self.sweep(key, purges)).await {
                Ok(Ok(())) if purges => purge = begun + self.pace.purge_every,
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(service = %key, %error, "a service could not be swept"),
                Err(_) => tracing::warn!(service = %key, "a service could not be swept in time"),
            }
            drop(turn);
            sleep_until(begun + self.pace.sweep_every).await;
        }
    }
}
