//! Readiness of the new replicas of one host.

use std::time::Duration;

use cutover_core::{ApplicationProtocol, Readiness, Replica, Span};
use cutover_fleet::{Answer, LAST_LINES, Machine, NoAnswer};
use cutover_watch::{Charge, first_trouble};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};

use crate::candidate::Candidate;
use crate::{Error, Late, Step};

/// However late a task is taken over, the replicas are asked for this long: they may have been ready for long.
const AT_LEAST: Duration = Duration::from_secs(5);
/// From one look at a replica's container to the next.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Replicas that are named in a message; the rest is counted.
const NAMED: usize = 3;

/// The question whether the new replicas of a host are ready.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// The host.
    pub machine: &'a Machine,
    /// Its new replicas.
    pub replicas: &'a [Replica],
    /// When a replica is ready.
    pub readiness: &'a Readiness,
    /// What they speak.
    pub protocol: ApplicationProtocol,
    /// How long it may take, all in all.
    pub limit: Span,
    /// How much of that has passed, under workers that are gone.
    pub elapsed: Duration,
}

impl Probe<'_> {
    /// Waits until all replicas are ready; answers with the number of questions that it took.
    ///
    /// # Errors
    /// A replica that can't serve any more, at once; replicas that are not ready within the limit.
    pub async fn run(&self, step: &Step) -> Result<u32, Error> {
        if self.replicas.is_empty() {
            return Err(Error::NoReplicas { host: self.machine.name().clone() });
        }
        // A Docker that doesn't answer takes nothing from a replica that does; the limit ends it in any case.
        let patience = Duration::MAX;
        tokio::select! {
            asked = self.ready(step) => asked,
            trouble = first_trouble(self.machine, self.replicas.iter().map(Charge::from), LOOK_EVERY, patience) => Err(trouble.into()),
        }
    }

    /// The same without a look at the containers: needs no Docker.
    ///
    /// # Errors
    /// Replicas that are not ready within the limit.
    pub async fn ready(&self, step: &Step) -> Result<u32, Error> {
        let deadline = Instant::now() + self.left();
        let mut candidates: Vec<_> =
            self.replicas.iter().map(|replica| Candidate::new(replica, self.readiness)).collect();
        tokio::select! {
            ready = self.ask_until_ready(&mut candidates, step) => ready?,
            () = sleep_until(deadline) => return Err(Error::Late(Box::new(self.late(&candidates).await))),
        }
        Ok(candidates.iter().map(|candidate| candidate.asked).sum())
    }

    /// What is left of the limit.
    fn left(&self) -> Duration {
        self.limit.0.saturating_sub(self.elapsed).max(self.limit.0.min(AT_LEAST))
    }

    /// Asks all side by side, each at its own pace.
    async fn ask_until_ready(&self, candidates: &mut [Candidate<'_>], step: &Step) -> Result<(), Error> {
        let delay = self.readiness.initial_delay.0.saturating_sub(self.elapsed);
        let mut answers: FuturesUnordered<_> = self
            .replicas
            .iter()
            .enumerate()
            .map(|(index, replica)| self.ask(index, replica, delay))
            .collect();
        while let Some((index, answer)) = answers.next().await {
            let Some(candidate) = candidates.get_mut(index) else { continue };
            let replica = candidate.replica;
            let again = candidate.hear(answer).map_err(|source| Error::Unaskable {
                replica: replica.name.clone(),
                host: self.machine.name().clone(),
                source: Box::new(source),
            })?;
            if let Some(wait) = again {
                answers.push(self.ask(index, replica, wait));
            }
            step.say(progress(candidates));
        }
        Ok(())
    }

    /// One question, after a wait.
    async fn ask(
        &self,
        index: usize,
        replica: &Replica,
        wait: Duration,
    ) -> (usize, Result<Answer, NoAnswer>) {
        sleep(wait).await;
        let Readiness { path, timeout, .. } = self.readiness;
        (index, self.machine.ask(replica.address, self.protocol, path, timeout.0).await)
    }

    /// That the limit has passed, and what the replicas said last.
    async fn late(&self, candidates: &[Candidate<'_>]) -> Late {
        let unready: Vec<_> = candidates.iter().filter(|candidate| !candidate.is_ready()).collect();
        let mut said: Vec<_> = unready.iter().take(NAMED).map(ToString::to_string).collect();
        if unready.len() > NAMED {
            said.push(format!("and {} more", unready.len() - NAMED));
        }
        let out_of_reach = unready.iter().all(|candidate| candidate.is_out_of_reach());
        // A host that is gone would only be waited for.
        let last_lines = match unready.first().filter(|_| !out_of_reach) {
            Some(first) => self.machine.last_lines(&first.replica.name, LAST_LINES).await,
            None => Vec::new(),
        };
        Late {
            host: self.machine.name().clone(),
            unready: unready.len(),
            replicas: candidates.len(),
            limit: self.limit,
            question: format!("GET {} on port {}", self.readiness.path, self.port()),
            said: said.join("; "),
            out_of_reach,
            last_lines,
        }
    }

    fn port(&self) -> u16 {
        self.replicas.first().map_or(0, |replica| replica.address.port())
    }
}

/// How many are ready, and what one that isn't said last.
fn progress(candidates: &[Candidate<'_>]) -> String {
    let ready = candidates.iter().filter(|candidate| candidate.is_ready()).count();
    let count = format!("{ready} of {} ready", candidates.len());
    match candidates.iter().find(|candidate| !candidate.is_ready()) {
        Some(unready) => format!("{count}; {unready}"),
        None => count,
    }
}

#[cfg(test)]
mod tests;
