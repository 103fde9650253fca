//! The watch over the live replicas of one service.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use cutover_core::{ServiceKey, Timestamp, WatchNote};
use cutover_fleet::{Checked, Fleet};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::families::{Families, Series};
use super::gate::Gate;
use super::live_replica::LiveReplica;
use super::rounds::{Failed, Heard, Question, Restart, Rounds};
use crate::candidate::words;

/// The watch over the live replicas of one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceWatch<'a> {
    pub(crate) key: &'a ServiceKey,
    pub(crate) fleet: &'a Fleet,
    pub(crate) gate: &'a Gate,
    pub(crate) families: &'a Families,
    pub(crate) clock: Clock,
}

/// What came of a question.
struct Answered {
    question: Question,
    asked: Timestamp,
    heard: Heard,
    took: Duration,
    http: Option<(u16, usize)>,
}

impl ServiceWatch<'_> {
    /// Asks those that are live, as often as each of them is to be, and has those started anew that have failed, by `restart`.
    /// `note` has what is known of their restarts.
    pub(crate) async fn run<F: Future<Output = (Failed, Restart)>>(
        &self,
        mut live: Receiver<Vec<LiveReplica>>,
        note: &WatchNote,
        restart: impl Fn(Failed) -> F,
    ) -> Infallible {
        let mut rounds = Rounds::default();
        let mut series: HashMap<u64, Series> = HashMap::new();
        let (mut answers, mut restarts) = (FuturesUnordered::new(), FuturesUnordered::new());
        live.mark_changed();
        loop {
            let now = self.clock.now();
            answers.extend(rounds.due(now).into_iter().map(|question| self.ask(question)));
            restarts.extend(rounds.restarts_due(now).into_iter().map(&restart));
            let wake = rounds.next(now).map(|time| self.clock.instant(time));
            tokio::select! {
                changed = live.changed() => match changed {
                    Ok(()) => {
                        let live = live.borrow_and_update().clone();
                        rounds.take_in(live, note, self.clock.now());
                        series.retain(|id, _| rounds.has(*id));
                    }
                    // Nobody says any more what is live.
                    Err(_) => return pending().await,
                },
                Some(answered) = answers.next() => self.hear(&mut rounds, &mut series, answered),
                Some((failed, came)) = restarts.next() => self.restarted(&mut rounds, &failed, came),
                () = until(wake) => {}
            }
        }
    }

    /// One question. What a host says that can't be reached is for all of its replicas.
    async fn ask(&self, question: Question) -> Answered {
        let LiveReplica { host, replica, terms, .. } = &*question.live;
        let at = self.gate.at(host);
        let place = self.gate.enter(&at).await;
        let (asked, began) = (self.clock.now(), Instant::now());
        let mut http = None;
        let heard = if place.is_none() {
            Heard::Nothing
        } else {
            let machine = self.fleet.machine(host);
            let check = machine.check(replica, terms.protocol, &terms.probe.check, terms.probe.timeout.0);
            match Box::pin(check).await {
                Ok(Checked { passed: true, http: answer, .. }) => {
                    http = answer;
                    Heard::Good
                }
                Ok(Checked { said, http: answer, .. }) => {
                    http = answer;
                    Heard::Bad(said)
                }
                Err(error) if error.is_out_of_reach() => {
                    at.lose();
                    Heard::Nothing
                }
                Err(error) if error.retryable() => Heard::Bad(words(&error)),
                // It can't be asked at all: a restart changes nothing about that.
                Err(_) => Heard::Nothing,
            }
        };
        drop(place);
        Answered { question, asked, heard, took: began.elapsed(), http }
    }

    fn hear(&self, rounds: &mut Rounds, series: &mut HashMap<u64, Series>, answered: Answered) {
        let Answered { question, asked, heard, took, http } = answered;
        if !rounds.has(question.id) {
            return;
        }
        let shown = series.entry(question.id).or_insert_with(|| self.families.show(self.key, &question.live));
        shown.set(heard == Heard::Good, took, http);
        rounds.hear(&question, asked, heard, self.clock.now());
    }

    /// Names a replica that was started anew, or was not.
    fn restarted(&self, rounds: &mut Rounds, failed: &Failed, came: Restart) {
        let LiveReplica { host, replica, .. } = &*failed.live;
        let (service, host, replica) = (self.key, &host.name, &replica.name);
        let Failed { times: failures, said, .. } = failed;
        if let Restart::Done(restarted) | Restart::Broken(restarted) = &came {
            let restarts = restarted.times;
            tracing::warn!(%service, %host, %replica, failures, said, restarts, "a replica has failed its liveness_probe, and is started anew");
        }
        if let Restart::Done(_) = &came {
            self.families.count_restart(service, host.as_str());
        }
        if let Some(reason) = rounds.restarted(failed.id, came, self.clock.now()) {
            tracing::warn!(%service, %host, %replica, failures, said, reason, "a replica has failed its liveness_probe, and is not started anew");
        }
    }
}

/// Waits until then; without a time, for ever.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
