//! Whom to ask when, and whom to start anew: for the live replicas of one service. Pure: answers and times in, decisions out.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use cutover_core::{HostName, ProbeSpec, Restarted, Timestamp, WatchNote};

use super::live_replica::LiveReplica;
use crate::streak::{Standing, Streak};

/// How long a replica that could not be started anew is left alone.
const AGAIN: Duration = Duration::from_secs(10);
/// So often it is looked whether one that has failed may be started anew by now.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The live replicas of a service, what they have answered, and what is due. Times are of one clock that never goes back.
#[derive(Debug, Default)]
pub struct Rounds {
    watched: BTreeMap<u64, Watched>,
    /// When each of them is asked next, but those that are being asked.
    due: BTreeSet<(Timestamp, u64)>,
    /// Those that have failed, and were not started anew since.
    failed: BTreeSet<u64>,
    /// Of each host, which one is started anew: until it has answered well, or has had its time.
    turns: BTreeMap<HostName, u64>,
    last_id: u64,
}

#[derive(Debug)]
struct Watched {
    live: Arc<LiveReplica>,
    /// When it is asked next; none: it is being asked.
    due: Option<Timestamp>,
    streak: Streak,
    said: String,
    /// What was asked before doesn't count: it was started anew then.
    since: Timestamp,
    /// Bad answers don't count before that, unless it has answered well since it was started.
    spared_until: Timestamp,
    /// The last restart.
    past: Option<Restarted>,
    /// It isn't started anew before.
    not_before: Timestamp,
    /// It is being started anew.
    restarting: bool,
    /// Why it was not started anew, as it was said last.
    refused: Option<String>,
    /// How often Docker had started it anew when that was looked at last; none: nobody has looked.
    exits: Option<u32>,
}

/// A question to ask.
#[derive(Clone, Debug)]
pub struct Question {
    /// The replica, for [`Rounds::hear`].
    pub id: u64,
    /// Which it is.
    pub live: Arc<LiveReplica>,
    /// When it was due.
    pub due: Timestamp,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A good answer.
    Good,
    /// A bad one, or none.
    Bad(String),
    /// It was not asked: its host can't be reached, or there is nothing to ask. That says nothing of the replica.
    Nothing,
}

/// A replica that is to be started anew.
#[derive(Clone, Debug)]
pub struct Failed {
    /// For [`Rounds::restarted`].
    pub id: u64,
    /// Which it is.
    pub live: Arc<LiveReplica>,
    /// How many bad answers it has given in a row.
    pub times: u32,
    /// The last one.
    pub said: String,
    /// It has ended by itself, and Docker has started it anew: that is only noted.
    pub exited: bool,
}

/// What came of a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It was started anew.
    Done(Restarted),
    /// Docker had started it anew, and that is noted.
    Noted(Restarted),
    /// It was to be, and could not.
    Broken(Restarted),
    /// It must not be, or not now.
    Refused(String),
    /// It was started a short while ago, by somebody else, and has so much of its time left.
    Young(Duration),
}

impl Rounds {
    /// Watches those replicas, and no others. Those that are watched already go on as they were; `note` has what is known of
    /// the restarts of the others.
    pub fn take_in(&mut self, live: Vec<LiveReplica>, note: &WatchNote, now: Timestamp) {
        let mut known: Vec<(u64, Arc<LiveReplica>)> =
            self.watched.iter().map(|(id, watched)| (*id, Arc::clone(&watched.live))).collect();
        let mut new = Vec::new();
        for live in live {
            match known.iter().position(|(_, known)| **known == live) {
                Some(index) => drop(known.swap_remove(index)),
                None => new.push(live),
            }
        }
        for (id, _) in known {
            if let Some(due) = self.watched.remove(&id).and_then(|watched| watched.due) {
                self.due.remove(&(due, id));
            }
            self.failed.remove(&id);
            self.turns.retain(|_, turn| *turn != id);
        }
        for live in new {
            self.last_id += 1;
            let due = now.after(spread(&live));
            self.due.insert((due, self.last_id));
            let past = note.of(&live.host.name, &live.replica.name).cloned();
            // Another's clock may be ahead.
            let next = past.as_ref().map(|past| past.next().min(now.after(Restarted::LONGEST)));
            let is_new = past.as_ref().is_some_and(|past| now.since(past.at) < live.terms.ready);
            let watched = Watched {
                due: Some(due),
                streak: Streak::default(),
                said: String::new(),
                since: Timestamp::default(),
                spared_until: if is_new { now.after(live.terms.ready) } else { now },
                past,
                not_before: next.unwrap_or(now),
                restarting: false,
                refused: None,
                exits: None,
                live: Arc::new(live),
            };
            self.watched.insert(self.last_id, watched);
        }
    }

    /// Whether a replica is watched.
    pub fn has(&self, id: u64) -> bool {
        self.watched.contains_key(&id)
    }

    /// What is asked now. What came of it is to be heard, each time.
    pub fn due(&mut self, now: Timestamp) -> Vec<Question> {
        let mut questions = Vec::new();
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, id));
            if let Some(watched) = self.watched.get_mut(&id) {
                watched.due = None;
                questions.push(Question { id, live: Arc::clone(&watched.live), due });
            }
        }
        questions
    }

    /// When to look again, if nothing happens before.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let look = (!self.failed.is_empty()).then(|| now.after(LOOK_EVERY));
        self.due.first().map(|(due, _)| *due).into_iter().chain(look).min()
    }

    /// Takes in what came of a question that was asked at a time.
    pub fn hear(&mut self, question: &Question, asked: Timestamp, heard: Heard, now: Timestamp) {
        let id = question.id;
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let ProbeSpec { initial_delay, period, .. } = &watched.live.terms.probe;
        let next = question.due.after(period.0).max(watched.since.after(initial_delay.0)).max(now);
        watched.due = Some(next);
        self.due.insert((next, id));
        if asked < watched.since || watched.restarting {
            return;
        }
        match heard {
            Heard::Good => {
                watched.spared_until = asked;
                watched.refused = None;
                if watched.streak.hear(true, &watched.live.terms.probe) == Standing::Passed {
                    self.failed.remove(&id);
                }
                self.turns.retain(|_, turn| *turn != id);
            }
            Heard::Bad(said) if asked >= watched.spared_until => {
                watched.said = said;
                if watched.streak.hear(false, &watched.live.terms.probe) == Standing::Failed {
                    self.failed.insert(id);
                }
            }
            Heard::Bad(_) | Heard::Nothing => {}
        }
    }

    /// Takes in how often Docker has started one anew since it was made, or since it was started by somebody. Says so where that is news:
    /// what came of it is to be told as of a restart. What happened before it is watched is news unless something is noted of it.
    pub fn exits(&mut self, id: u64, times: u32) -> Option<Failed> {
        let watched = self.watched.get_mut(&id)?;
        let known = watched.exits.unwrap_or(if watched.past.is_some() { times } else { 0 });
        watched.exits = Some(times);
        (times > known).then(|| Failed {
            id,
            live: Arc::clone(&watched.live),
            times: 0,
            said: String::new(),
            exited: true,
        })
    }

    /// Those that are started anew now: of each host one, and the next once that one answers well again or has had its time.
    /// What came of it is to be told, each time.
    pub fn restarts_due(&mut self, now: Timestamp) -> Vec<Failed> {
        let mut restarts = Vec::new();
        for id in &self.failed {
            let Some(watched) = self.watched.get(id) else { continue };
            let host = &watched.live.host.name;
            let others = self.turns.get(host).filter(|turn| *turn != id);
            let is_taken =
                others.and_then(|turn| self.watched.get(turn)).is_some_and(|other| other.holds(now));
            if is_taken || watched.restarting || watched.not_before > now {
                continue;
            }
            self.turns.insert(host.clone(), *id);
            restarts.push(Failed {
                id: *id,
                live: Arc::clone(&watched.live),
                times: watched.streak.bad,
                said: watched.said.clone(),
                exited: false,
            });
            if let Some(watched) = self.watched.get_mut(id) {
                watched.restarting = true;
            }
        }
        restarts
    }

    /// Takes in what came of a restart. Says why it was refused, where that is news.
    pub fn restarted(&mut self, id: u64, restart: Restart, now: Timestamp) -> Option<String> {
        let watched = self.watched.get_mut(&id)?;
        watched.restarting = false;
        let mut news = None;
        match restart {
            Restart::Done(restarted) => {
                watched.begin(now, watched.live.terms.ready);
                watched.not_before = restarted.next();
                watched.past = Some(restarted);
                self.failed.remove(&id);
                if let Some(due) = watched.due {
                    self.due.remove(&(due, id));
                    let due = due.max(now.after(watched.live.terms.probe.initial_delay.0));
                    self.due.insert((due, id));
                    watched.due = Some(due);
                }
                return None;
            }
            Restart::Noted(restarted) => {
                watched.begin(now, watched.live.terms.ready);
                watched.past = Some(restarted);
                self.failed.remove(&id);
                return None;
            }
            Restart::Young(left) => {
                watched.begin(now, left);
                self.failed.remove(&id);
                return None;
            }
            Restart::Broken(restarted) => {
                watched.not_before = restarted.next();
                watched.past = Some(restarted);
            }
            Restart::Refused(reason) => {
                watched.not_before = watched.not_before.max(now.after(AGAIN));
                if watched.refused.as_ref() != Some(&reason) {
                    news = Some(reason.clone());
                    watched.refused = Some(reason);
                }
            }
        }
        self.turns.retain(|_, turn| *turn != id);
        news
    }
}

impl Watched {
    /// It was started.
    fn begin(&mut self, now: Timestamp, time: Duration) {
        self.since = now;
        self.spared_until = now.after(time);
        self.streak = Streak::default();
        self.refused = None;
    }

    /// Whether its host's others wait for it.
    fn holds(&self, now: Timestamp) -> bool {
        self.restarting || now < self.spared_until
    }
}

/// How long the first question of a replica waits: they are spread over the period, and stay so.
fn spread(live: &LiveReplica) -> Duration {
    let mut hasher = DefaultHasher::new();
    (&live.host.name, &live.replica.name).hash(&mut hasher);
    let share = u32::try_from(hasher.finish() >> 32).unwrap_or(0);
    live.terms.probe.period.0.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
