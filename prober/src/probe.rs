//! Readiness of the new replicas of one host.

use std::time::Duration;

use cutover_core::{ApplicationProtocol, Replica, Span};
use cutover_fleet::{LAST_LINES, Machine};
use cutover_watch::{Charge, first_trouble};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::candidate::{Candidate, GivenUp, Heard, Next};
use crate::questions::Asked;
use crate::round::round;
use crate::{Error, Late, Liveness, Questions, Step};

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
    /// What they are asked.
    pub questions: Questions<'a>,
    /// What they speak.
    pub protocol: ApplicationProtocol,
    /// How long it may take, all in all.
    pub limit: Span,
    /// How much of that has passed, under workers that are gone.
    pub elapsed: Duration,
}

impl<'a> Probe<'a> {
    /// Waits until all replicas are ready; answers with the number of questions that it took.
    ///
    /// # Errors
    /// A replica that can't serve any more, at once, or has failed as often as is enough; replicas that are not ready within the
    /// limit.
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

    /// The same without a look at the containers: needs no Docker, unless it is asked.
    ///
    /// # Errors
    /// The same.
    pub async fn ready(&self, step: &Step) -> Result<u32, Error> {
        let deadline = Instant::now() + self.left();
        let mut candidates: Vec<_> =
            self.replicas.iter().map(|replica| Candidate::new(replica, self.questions)).collect();
        let started = Notify::new();
        tokio::select! {
            ready = self.ask_until_ready(&mut candidates, &started, step) => ready?,
            error = self.first_death(&started) => return Err(error),
            () = sleep_until(deadline) => return Err(Error::Late(Box::new(self.late(&candidates).await))),
        }
        Ok(candidates.iter().map(|candidate| candidate.asked).sum())
    }

    /// What is left of the limit.
    fn left(&self) -> Duration {
        self.limit.0.saturating_sub(self.elapsed).max(self.limit.0.min(AT_LEAST))
    }

    /// Watches whether they go on living, once all have started.
    async fn first_death(&self, started: &Notify) -> Error {
        let Some(spec) = self.questions.liveness else { return std::future::pending().await };
        started.notified().await;
        let Self { machine, replicas, protocol, elapsed, .. } = *self;
        Liveness { machine, replicas, spec, protocol, elapsed }.first_death().await
    }

    /// Asks all side by side, each at its own pace.
    async fn ask_until_ready(
        &self,
        candidates: &mut [Candidate<'a>],
        started: &Notify,
        step: &Step,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let mut answers = FuturesUnordered::new();
        for (index, candidate) in candidates.iter_mut().enumerate() {
            if let Next::Ask(asked, wait) = candidate.begin(self.elapsed) {
                answers.push(self.ask(index, candidate.replica, asked, wait));
            }
        }
        loop {
            if candidates.iter().all(Candidate::has_started) {
                started.notify_one();
            }
            let Some((index, heard)) = answers.next().await else { return Ok(()) };
            let Some(candidate) = candidates.get_mut(index) else { continue };
            match candidate.hear(heard, self.elapsed + began.elapsed()) {
                Ok(Next::Ask(asked, wait)) => answers.push(self.ask(index, candidate.replica, asked, wait)),
                Ok(Next::Ready) => {}
                Err(given_up) => return Err(self.given_up(candidate.replica, given_up).await),
            }
            step.say(progress(candidates));
        }
    }

    /// One question, after a wait.
    async fn ask(&self, index: usize, replica: &Replica, asked: Asked<'_>, wait: Duration) -> (usize, Heard) {
        sleep(wait).await;
        let heard = match asked {
            Asked::Startup(spec) | Asked::Readiness(spec) => {
                let checked = self.machine.check(replica, self.protocol, &spec.check, spec.timeout.0);
                Heard::Check(Box::pin(checked).await)
            }
            Asked::Inference(spec) => {
                Heard::Round(Box::pin(round(self.machine, replica, self.protocol, spec)).await)
            }
        };
        (index, heard)
    }

    async fn given_up(&self, replica: &Replica, given_up: GivenUp) -> Error {
        let (replica, host) = (replica.name.clone(), self.machine.name().clone());
        match given_up {
            GivenUp::Unaskable(source) => Error::Unaskable { replica, host, source: Box::new(source) },
            GivenUp::Failed { key: probe, times, said } => {
                let last_lines = self.machine.last_lines(&replica, LAST_LINES).await;
                Error::Failed { probe, replica, host, times, said, last_lines }
            }
        }
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
        let asked = unready.first().map_or_else(|| self.questions.first(), |first| first.asked_now());
        Late {
            host: self.machine.name().clone(),
            unready: unready.len(),
            replicas: candidates.len(),
            limit: self.limit,
            question: asked.words(self.port()),
            probe: asked.key(),
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
