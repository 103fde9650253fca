//! Leases: which program does the standing work of a service. The rules for one candidate; the records lie elsewhere.
//!
//! A lease is the last record on its subject, and a record is written only where the one before it is still the last. Taking
//! a lease makes a new epoch, renewing it keeps the epoch. No clocks are compared: a candidate that sees the same record
//! stand for a lease time, by its own clock, knows that nobody has renewed it, and that the holder, which counts from before
//! it wrote the record, has given it up by then.
//!
//! A key with a time to live would be no lock: the server that lets it expire tells the next one that it may begin, and
//! tells the holder nothing. One that was paused for longer goes on believing, and its next renewal makes the key again.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Standing work that one program at a time does for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Looking whether something is due that nobody has published, and purging what nobody needs.
    Sweep,
    /// Ordering certificates before they end, and bringing them to every proxy.
    Certificates,
    /// Removing from the artifact store what no service needs.
    Collect,
    /// Asking the replicas of what is live whether they live, and starting anew those that don't.
    Watch,
}

/// A record on a lease's subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Who holds it; none: it was given back.
    pub holder: Option<String>,
    /// The epoch; none in the record that takes the lease: its own sequence is the epoch.
    pub epoch: Option<u64>,
}

impl LeaseRecord {
    /// Whether the lease is held under an epoch, where this is its last record, stored at that sequence.
    pub fn is_held_under(&self, epoch: u64, sequence: u64) -> bool {
        self.holder.is_some() && self.epoch.unwrap_or(sequence) == epoch
    }
}

/// How long leases last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// A record that stands for so long, as a candidate sees it, was left by a holder that is gone.
    pub lasts: Duration,
    /// So often it is renewed, and looked at.
    pub renewed_every: Duration,
    /// So much earlier than `lasts` a holder gives up what it could not renew: clocks may go at different speeds.
    pub margin: Duration,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self {
            lasts: Duration::from_secs(15),
            renewed_every: Duration::from_secs(5),
            margin: Duration::from_secs(3),
        }
    }
}

/// A lease, as one candidate knows it. Times are of the candidate's own clock, since any moment; one that never goes back.
#[derive(Clone, Debug)]
pub struct Lease {
    me: String,
    terms: LeaseTerms,
    seen: Option<Seen>,
    held: Option<Held>,
    /// It was held until now, which is not said yet.
    lost: bool,
}

/// What stands on the subject.
#[derive(Clone, Debug)]
struct Seen {
    /// 0: nothing.
    sequence: u64,
    record: Option<LeaseRecord>,
    /// When it was seen first.
    since: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u64,
    /// Of the last record.
    sequence: u64,
    /// When that was sent.
    sent: Duration,
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// Nothing.
    Wait,
    /// Write a record that takes it, where this sequence is still the last.
    Take {
        /// 0: where there is none.
        expected: u64,
    },
    /// Write a record that renews it, where this sequence is still the last.
    Renew {
        /// Of one's own last record.
        expected: u64,
        /// The epoch that it keeps.
        epoch: u64,
    },
    /// Stop: another has it, or it could not be renewed in time and others may take it from now on.
    Lost,
}

impl Lease {
    /// A lease that nothing is known of yet. `me` is a name that no other candidate has.
    pub const fn new(me: String, terms: LeaseTerms) -> Self {
        Self { me, terms, seen: None, held: None, lost: false }
    }

    /// Takes in what was read; `at`: after it was. A replica that is behind may have answered: what is older than what is
    /// known says nothing.
    pub fn see(&mut self, last: Option<(u64, LeaseRecord)>, at: Duration) {
        let (sequence, record) = last.map_or((0, None), |(sequence, record)| (sequence, Some(record)));
        if self.seen.as_ref().is_some_and(|seen| sequence <= seen.sequence) {
            return;
        }
        match &mut self.held {
            Some(held) if sequence <= held.sequence => return,
            // A renewal whose answer was lost.
            Some(held) if is_of(record.as_ref(), &self.me) => {
                held.sequence = sequence;
                return;
            }
            _ => self.lose(),
        }
        self.seen = Some(Seen { sequence, record, since: at });
    }

    /// Takes in that something stands there which no candidate has written. It frees nothing, as it may have come in the place of a
    /// record that nobody has seen; and it keeps nothing: the time of what was seen before goes on.
    pub fn see_rubbish(&mut self, sequence: u64, at: Duration) {
        let unknown = || LeaseRecord { holder: Some(String::new()), epoch: None };
        match (&mut self.held, &mut self.seen) {
            (Some(held), _) => held.sequence = held.sequence.max(sequence),
            (None, Some(seen)) if sequence <= seen.sequence => {}
            (None, Some(seen)) => {
                match seen.record.as_mut().filter(|record| record.holder.is_some()) {
                    Some(record) => _ = record.epoch.get_or_insert(seen.sequence),
                    None => (seen.record, seen.since) = (Some(unknown()), at),
                }
                seen.sequence = sequence;
            }
            (None, None) => self.seen = Some(Seen { sequence, record: Some(unknown()), since: at }),
        }
    }

    /// The sequence of the last message that is known to stand there: whoever writes later expects this one or one after it.
    pub fn known(&self) -> u64 {
        let (held, seen) =
            (self.held.map(|held| held.sequence), self.seen.as_ref().map(|seen| seen.sequence));
        held.max(seen).unwrap_or_default()
    }

    /// What to do now. That it is lost is said once.
    pub fn step(&mut self, at: Duration) -> LeaseStep {
        if self.epoch(at).is_none() {
            self.lose();
        }
        if std::mem::take(&mut self.lost) {
            return LeaseStep::Lost;
        }
        if let Some(Held { epoch, sequence, sent }) = self.held {
            let is_due = at.saturating_sub(sent) >= self.terms.renewed_every;
            return if is_due { LeaseStep::Renew { expected: sequence, epoch } } else { LeaseStep::Wait };
        }
        let Some(Seen { sequence, record, since }) = &self.seen else { return LeaseStep::Wait };
        let expected = *sequence;
        let is_free = record.as_ref().is_none_or(|record| record.holder.is_none());
        let is_left = at.saturating_sub(*since) >= self.terms.lasts;
        match record {
            // Nobody has taken it since it was written: only its answer was lost, or came too late.
            Some(record) if is_of(Some(record), &self.me) => {
                LeaseStep::Renew { expected, epoch: record.epoch.unwrap_or(expected) }
            }
            _ if is_free || is_left => LeaseStep::Take { expected },
            _ => LeaseStep::Wait,
        }
    }

    /// A record of one's own was stored at a sequence, that was sent at a time: before it was.
    pub fn stored(&mut self, step: LeaseStep, sequence: u64, sent: Duration) {
        let epoch = match step {
            LeaseStep::Take { .. } => sequence,
            LeaseStep::Renew { epoch, .. } => epoch,
            LeaseStep::Wait | LeaseStep::Lost => return,
        };
        self.seen = None;
        self.held = Some(Held { epoch, sequence, sent });
    }

    /// A record of one's own was refused, as another has become the last: what was known is over.
    pub fn refused(&mut self) {
        self.seen = None;
        self.lose();
    }

    /// The epoch that it is held under; none where it isn't held, or not for sure.
    pub fn epoch(&self, at: Duration) -> Option<u64> {
        let held = self.held.as_ref()?;
        let holds_for = self.terms.lasts.saturating_sub(self.terms.margin);
        (at.saturating_sub(held.sent) < holds_for).then_some(held.epoch)
    }

    /// The record that gives it back, and the sequence that must be the last; none where it isn't held.
    pub fn give_back(&mut self) -> Option<(u64, LeaseRecord)> {
        let held = self.held.take()?;
        Some((held.sequence, LeaseRecord { holder: None, epoch: Some(held.epoch) }))
    }

    /// The record to write for a step; none where there is none to write.
    pub fn record(&self, step: LeaseStep) -> Option<(u64, LeaseRecord)> {
        let (expected, epoch) = match step {
            LeaseStep::Take { expected } => (expected, None),
            LeaseStep::Renew { expected, epoch } => (expected, Some(epoch)),
            LeaseStep::Wait | LeaseStep::Lost => return None,
        };
        Some((expected, LeaseRecord { holder: Some(self.me.clone()), epoch }))
    }

    fn lose(&mut self) {
        self.lost |= self.held.take().is_some();
    }
}

/// Whether a record was written by a candidate of that name.
fn is_of(record: Option<&LeaseRecord>, candidate: &str) -> bool {
    record.and_then(|record| record.holder.as_deref()) == Some(candidate)
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sweep => "sweep",
            Self::Certificates => "certificates",
            Self::Collect => "collect",
            Self::Watch => "watch",
        })
    }
}
