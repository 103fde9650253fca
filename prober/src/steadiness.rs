//! Replicas that get no traffic: nobody can ask them anything, but whether they still run.

use std::time::Duration;

use cutover_fleet::Machine;
use cutover_watch::{Charge, Error, first_trouble, look};
use tokio::time::sleep;

/// From one look at a replica's container to the next.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The question whether the new replicas of a host that get no traffic go on running.
#[derive(Clone, Debug)]
pub struct Steadiness<'a> {
    /// The host.
    pub machine: &'a Machine,
    /// The names of their containers.
    pub jobs: Vec<String>,
    /// How long they must have run.
    pub time: Duration,
}

impl Steadiness<'_> {
    /// Watches them for that time, and takes a last look at each.
    ///
    /// # Errors
    /// A replica that doesn't run any more, at once.
    pub async fn run(&self) -> Result<(), Error> {
        tokio::select! {
            trouble = self.first_trouble() => return Err(trouble),
            () = sleep(self.time) => {}
        }
        for job in &self.jobs {
            look(self.machine, job.into(), Duration::MAX).await?;
        }
        Ok(())
    }

    /// Watches them. Returns only once one doesn't run any more.
    pub async fn first_trouble(&self) -> Error {
        first_trouble(self.machine, self.jobs.iter().map(Charge::from), LOOK_EVERY, Duration::MAX).await
    }
}
