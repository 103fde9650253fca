//! What has happened in all: shows that a run of many seeds was about something.

use std::fmt;

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// An actor did something between two waits.
    Step,
    /// An entry was stored in the log.
    Entry,
    /// An append was refused, as a message of that id was there.
    Duplicate,
    /// A batch was refused as a whole for the same reason.
    BatchRefused,
    /// An append was refused, as its subject had gone on.
    Conflict,
    /// A message to the bus, or its answer, was lost.
    Lost,
    /// An acknowledgement was lost.
    AckLost,
    /// A work message came again.
    Redelivered,
    /// A process was killed.
    Killed,
    /// A process was stopped and went on later.
    Stopped,
    /// A process lost the bus.
    Cut,
    /// A host was lost.
    HostLost,
    /// A clock was set.
    ClockSet,
    /// Work was forged.
    Forged,
    /// A process began, and read a snapshot and the rest of the log.
    FreshRead,
    /// A claim was taken over from a worker that was taken for gone.
    TakenOver,
    /// A claim was void.
    VoidClaim,
    /// A fact came from a worker that had been outlived, and changed nothing.
    Outlived,
    /// A task was closed in the place of a worker that was gone.
    Closed,
    /// A proxy refused a stale claim.
    Fenced,
    /// A container was found in the way.
    NameTaken,
    /// A container of an earlier deployment was removed.
    Stray,
    /// A deployment was accepted.
    Accepted,
    /// It was to be taken back.
    Aborted,
    /// It was replayed.
    Replayed,
    /// A kept release was to be live again.
    RolledBack,
    /// Among them, to replicas that were warm.
    RolledBackWarm,
    /// A host was forgiven what it owes.
    Forgiven,
    /// Something that was owed was claimed.
    OwedClaimed,
    /// Something that could not be done in its time was done.
    Paid,
    /// What was warm was stopped.
    Cooled,
    /// What a deployment owed the schema was done.
    Migrated,
    /// A contract was done.
    Contracted,
    /// A contract was approved.
    Approved,
    /// A canary got its share of a host's traffic.
    Shared,
    /// A canary was promoted.
    Promoted,
    /// Somebody swept.
    Swept,
    /// Somebody was woken at the time that was asked for.
    Woken,
    /// A scheduled message was lost.
    TimerLost,
    /// A decision was refused.
    Refused,
    /// Among them, as something that is owed was being done.
    Settling,
    /// A decision was stored that was not true any more.
    Overtaken,
    /// Ended live.
    EndedLive,
    /// Ended taken back.
    EndedTakenBack,
    /// Ended with nothing to take back.
    EndedFailed,
    /// Ended as somebody asked for it.
    EndedAborted,
    /// Ended degraded.
    EndedDegraded,
}

impl Happening {
    const ALL: [Self; 47] = [
        Self::Step,
        Self::Entry,
        Self::Duplicate,
        Self::BatchRefused,
        Self::Conflict,
        Self::Lost,
        Self::AckLost,
        Self::Redelivered,
        Self::Killed,
        Self::Stopped,
        Self::Cut,
        Self::HostLost,
        Self::ClockSet,
        Self::Forged,
        Self::FreshRead,
        Self::TakenOver,
        Self::VoidClaim,
        Self::Outlived,
        Self::Closed,
        Self::Fenced,
        Self::NameTaken,
        Self::Stray,
        Self::Accepted,
        Self::Aborted,
        Self::Replayed,
        Self::RolledBack,
        Self::RolledBackWarm,
        Self::Forgiven,
        Self::OwedClaimed,
        Self::Paid,
        Self::Cooled,
        Self::Migrated,
        Self::Contracted,
        Self::Approved,
        Self::Shared,
        Self::Promoted,
        Self::Swept,
        Self::Woken,
        Self::TimerLost,
        Self::Refused,
        Self::Settling,
        Self::Overtaken,
        Self::EndedLive,
        Self::EndedTakenBack,
        Self::EndedFailed,
        Self::EndedAborted,
        Self::EndedDegraded,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Step => "steps",
            Self::Entry => "entries stored",
            Self::Duplicate => "duplicates refused",
            Self::BatchRefused => "batches refused as duplicates",
            Self::Conflict => "conflicts",
            Self::Lost => "messages or answers lost",
            Self::AckLost => "acknowledgements lost",
            Self::Redelivered => "redeliveries",
            Self::Killed => "processes killed",
            Self::Stopped => "processes stopped for a while",
            Self::Cut => "processes cut from the bus",
            Self::HostLost => "hosts lost",
            Self::ClockSet => "clocks set",
            Self::Forged => "work messages forged",
            Self::FreshRead => "logs read from a snapshot on",
            Self::TakenOver => "claims taken over",
            Self::VoidClaim => "void claims",
            Self::Outlived => "facts of outlived workers",
            Self::Closed => "tasks closed for others",
            Self::Fenced => "stale claims refused by proxies",
            Self::NameTaken => "containers in the way",
            Self::Stray => "strays removed",
            Self::Accepted => "deployments accepted",
            Self::Aborted => "aborts",
            Self::Replayed => "replays",
            Self::RolledBack => "rollbacks among the deployments",
            Self::RolledBackWarm => "rollbacks to warm replicas among these",
            Self::Forgiven => "hosts forgiven",
            Self::OwedClaimed => "claims of what is owed",
            Self::Paid => "debts paid",
            Self::Cooled => "warm replicas stopped, by host",
            Self::Migrated => "backfills and contracts that were owed",
            Self::Contracted => "contracts done",
            Self::Approved => "contracts approved",
            Self::Shared => "shares given to canaries, by host",
            Self::Promoted => "canaries promoted",
            Self::Swept => "sweeps",
            Self::Woken => "scheduled messages delivered",
            Self::TimerLost => "scheduled messages lost",
            Self::Refused => "decisions refused",
            Self::Settling => "among these, as what was owed was being done",
            Self::Overtaken => "decisions overtaken by facts",
            Self::EndedLive => "ended live",
            Self::EndedTakenBack => "ended taken back",
            Self::EndedFailed => "ended failed",
            Self::EndedAborted => "ended aborted",
            Self::EndedDegraded => "ended degraded",
        }
    }
}

/// How often each has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    counts: [u64; Happening::ALL.len()],
    /// The longest that deployments went on, in ms, once nothing went wrong any more.
    pub longest_calm: u64,
    /// The longest until all that was owed was done, in ms, once nothing ran and nothing went wrong any more.
    pub longest_debt: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: [0; Happening::ALL.len()], longest_calm: 0, longest_debt: 0 }
    }
}

impl Tally {
    pub(crate) fn count(&mut self, happening: Happening) {
        if let Some(count) = self.counts.get_mut(happening as usize) {
            *count += 1;
        }
    }

    /// How often it has happened.
    pub fn of(&self, happening: Happening) -> u64 {
        self.counts.get(happening as usize).copied().unwrap_or_default()
    }

    /// Adds what has happened elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.longest_calm = self.longest_calm.max(other.longest_calm);
        self.longest_debt = self.longest_debt.max(other.longest_debt);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for happening in Happening::ALL {
            writeln!(f, "{:>12}  {}", self.of(happening), happening.as_str())?;
        }
        let seconds = |millis| std::time::Duration::from_millis(millis).as_secs_f64();
        let (calm, debt) = (seconds(self.longest_calm), seconds(self.longest_debt));
        writeln!(
            f,
            "{calm:>10.1} s  the longest until a deployment ended, once nothing went wrong any more"
        )?;
        writeln!(f, "{debt:>10.1} s  the longest until all that was owed after that was done")
    }
}
