//! The new version under real traffic, on all hosts, for a declared time.

use std::time::Duration;

use cutover_core::Evidence;
use cutover_watch::{Error, Watch};
use tokio::time::{Instant, sleep_until};

use crate::Step;

/// The watch over a deployment that has all of the traffic.
#[derive(Clone, Debug)]
pub struct Soak<'a> {
    /// What is watched; its guard says for how long.
    pub watch: Watch<'a>,
    /// How much of the time has passed, under workers that are gone.
    pub elapsed: Duration,
}

impl Soak<'_> {
    /// Watches for the time that is left, takes a last look at everything, and answers with what was counted.
    ///
    /// # Errors
    /// Those of [`Watch::run`].
    pub async fn run(&self, step: &Step) -> Result<Evidence, Error> {
        let end = Instant::now() + self.watch.guard.time.0.saturating_sub(self.elapsed);
        let over = async {
            sleep_until(end).await;
            Ok(())
        };
        let counting = |Evidence { requests, errors }| {
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            step.say(format!("{requests} requests, {errors} failed; {left} s to go"));
        };
        self.watch.run(over, counting).await
    }
}

#[cfg(test)]
mod tests;
