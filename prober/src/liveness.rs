//! Whether replicas go on living, by what they answer.

use std::future::pending;
use std::time::Duration;

use cutover_core::{ApplicationProtocol, ProbeSpec, Replica};
use cutover_fleet::{Checked, LAST_LINES, Machine};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use crate::Error;
use crate::candidate::words;
use crate::streak::{Standing, Streak};

/// The watch over what replicas of a host answer to their liveness probe.
#[derive(Clone, Copy, Debug)]
pub struct Liveness<'a> {
    /// The host.
    pub machine: &'a Machine,
    /// The replicas.
    pub replicas: &'a [Replica],
    /// What they are asked.
    pub spec: &'a ProbeSpec,
    /// What their own port speaks.
    pub protocol: ApplicationProtocol,
    /// How long they have run.
    pub elapsed: Duration,
}

impl Liveness<'_> {
    /// Asks them. Returns only once one of them has failed as often in a row as is enough.
    pub async fn first_death(&self) -> Error {
        let mut watches: FuturesUnordered<_> =
            self.replicas.iter().map(|replica| self.death(replica)).collect();
        match watches.next().await {
            Some(error) => error,
            None => pending().await,
        }
    }

    async fn death(&self, replica: &Replica) -> Error {
        let ProbeSpec { check, initial_delay, period, timeout, .. } = self.spec;
        sleep(initial_delay.0.saturating_sub(self.elapsed)).await;
        let mut streak = Streak::default();
        loop {
            let (is_good, said) = match self.machine.check(replica, self.protocol, check, timeout.0).await {
                Ok(Checked { passed, said, .. }) => (Some(passed), said),
                // Nothing is said of the application by that.
                Err(error) if error.is_out_of_reach() => (None, String::new()),
                Err(error) => (Some(false), words(&error)),
            };
            if is_good.is_some_and(|is_good| streak.hear(is_good, self.spec) == Standing::Failed) {
                return Error::Failed {
                    probe: "liveness_probe",
                    replica: replica.name.clone(),
                    host: self.machine.name().clone(),
                    times: streak.bad,
                    said,
                    last_lines: self.machine.last_lines(&replica.name, LAST_LINES).await,
                };
            }
            sleep(period.0).await;
        }
    }
}
