//! The new version under real traffic, on all hosts, for a declared time.

use std::future::pending;
use std::time::Duration;

use cutover_core::Evidence;
use cutover_watch::Watch;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use crate::{Error, Liveness, Step};

/// The watch over a deployment that has all of the traffic.
#[derive(Clone, Debug)]
pub struct Soak<'a> {
    /// What is watched; its guard says for how long.
    pub watch: Watch<'a>,
    /// How much of the time has passed, under workers that are gone.
    pub elapsed: Duration,
    /// What its replicas must go on answering, on each host where they are asked.
    pub liveness: Vec<Liveness<'a>>,
}

impl Soak<'_> {
    /// Watches for the time that is left, takes a last look at everything, and answers with what was counted.
    ///
    /// # Errors
    /// Those of [`Watch::run`]; a replica that fails its liveness probe.
    pub async fn run(&self, step: &Step) -> Result<Evidence, Error> {
        let end = Instant::now() + self.watch.guard.time.0.saturating_sub(self.elapsed);
        let over = async {
            tokio::select! {
                () = sleep_until(end) => Ok(()),
                error = self.first_death() => Err(error),
            }
        };
        let counting = |Evidence { requests, errors }| {
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            step.say(format!("{requests} requests, {errors} failed; {left} s to go"));
        };
        self.watch.run(over, counting).await
    }

    async fn first_death(&self) -> Error {
        let mut deaths: FuturesUnordered<_> = self.liveness.iter().map(Liveness::first_death).collect();
        match deaths.next().await {
            Some(error) => error,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
