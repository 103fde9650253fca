//! The watch over the live replicas of one service.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use cutover_core::{Replica, Restarted, ServiceKey, Timestamp, WatchNote};
use cutover_fleet::{Checked, Fleet, Machine};
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
    /// How often Docker has started a sidecar anew.
    exits: Option<u32>,
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
                Some(answered) = answers.next() => {
                    let exited = self.hear(&mut rounds, &mut series, answered);
                    restarts.extend(exited.map(&restart));
                }
                Some((failed, came)) = restarts.next() => self.restarted(&mut rounds, &failed, came),
                () = until(wake) => {}
            }
        }
    }

    /// One question. What a host says that can't be reached is for all of its replicas.
    async fn ask(&self, question: Question) -> Answered {
        let LiveReplica { host, terms, .. } = &*question.live;
        let at = self.gate.at(host);
        let place = self.gate.enter(&at).await;
        let (asked, began) = (self.clock.now(), Instant::now());
        let (mut http, mut exits) = (None, None);
        let machine = self.fleet.machine(host);
        let found = match place {
            Some(_) => Box::pin(find(&machine, &question.live)).await,
            None => Found::Nothing,
        };
        let heard = match found {
            Found::Nothing => Heard::Nothing,
            Found::Absent => Heard::Bad("it doesn't run".to_owned()),
            Found::At(replica, times) => {
                exits = times;
                let check =
                    machine.check(&replica, terms.protocol, &terms.probe.check, terms.probe.timeout.0);
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
            }
        };
        drop(place);
        Answered { question, asked, heard, took: began.elapsed(), http, exits }
    }

    /// Answers with one that Docker has started anew since it was asked before.
    fn hear(
        &self,
        rounds: &mut Rounds,
        series: &mut HashMap<u64, Series>,
        answered: Answered,
    ) -> Option<Failed> {
        let Answered { question, asked, heard, took, http, exits } = answered;
        if !rounds.has(question.id) {
            return None;
        }
        let shown = series.entry(question.id).or_insert_with(|| self.families.show(self.key, &question.live));
        shown.set(heard == Heard::Good, took, http);
        rounds.hear(&question, asked, heard, self.clock.now());
        exits.and_then(|times| rounds.exits(question.id, times))
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
        if let Restart::Noted(Restarted { times: restarts, said, .. }) = &came {
            tracing::warn!(%service, %host, %replica, said, restarts, "a sidecar has ended, and Docker has started it anew");
        }
        if let Restart::Done(_) | Restart::Noted(_) = &came {
            self.families.count_restart(service, host.as_str());
        }
        if let Some(reason) = rounds.restarted(failed.id, came, self.clock.now())
            && !failed.exited
        {
            tracing::warn!(%service, %host, %replica, failures, said, reason, "a replica has failed its liveness_probe, and is not started anew");
        }
    }
}

/// Where somebody is asked.
enum Found {
    /// There, and, of a sidecar, how often Docker has started it anew.
    At(Replica, Option<u32>),
    /// It doesn't run.
    Absent,
    /// Its host can't be reached, or its Docker.
    Nothing,
}

/// A replica keeps its address; where a sidecar is, Docker says.
async fn find(machine: &Machine, live: &LiveReplica) -> Found {
    let Some(network) = &live.network else { return Found::At(live.replica.clone(), None) };
    match machine.condition(&live.replica.name).await {
        Ok(Some(condition)) => match condition.networks.get(network) {
            Some(address) => {
                let address = (*address, live.replica.address.port()).into();
                let replica = Replica { address, ..live.replica.clone() };
                Found::At(replica, u32::try_from(condition.restarts).ok())
            }
            None => Found::Absent,
        },
        Ok(None) => Found::Absent,
        Err(_) => Found::Nothing,
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
