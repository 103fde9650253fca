//! How far the migrations of a service have come beside its deployments: whose rows were brought over, whose old structure is
//! gone, and what the next contract waits for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Deployment, HostName, KeptRelease, MigrationFile, Obligation, Phase, Release, ReleaseId, Service, Stage,
    Timestamp, When,
};

/// The versions of migrations of which something is known, by what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Their rows were brought over, and nothing that doesn't know them has been live since.
    filled: BTreeSet<String>,
    /// Their contract was begun: from then on nothing that doesn't know them may go live.
    begun: BTreeSet<String>,
    /// Their contract is done.
    ended: BTreeSet<String>,
}

/// What a contract waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its rows are still being brought over.
    Backfill,
    /// The host owes something: what doesn't know the migration may still run there.
    Host(HostName),
    /// Replicas that don't know it are kept running until then.
    Warm(Timestamp),
    /// A release that doesn't know it is kept for rollback.
    Release {
        /// Its id.
        id: ReleaseId,
        /// Its name in front of people.
        version: String,
    },
    /// It is not begun before that time.
    Until(Timestamp),
    /// Somebody has to approve it.
    Approval,
}

/// Where a migration stands whose last phase is still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract<'a> {
    /// Its last phase.
    pub file: &'a MigrationFile,
    /// Whether it was begun: then there is no way back.
    pub begun: bool,
    /// What it waits for; nothing: it is due.
    pub waits: Vec<Wait>,
}

impl Schema {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty() && self.begun.is_empty()
    }

    /// Whether the rows of a migration were brought over.
    pub fn is_filled(&self, version: &str) -> bool {
        self.filled.contains(version)
    }

    /// Whether the contract of a migration is done.
    pub fn is_contracted(&self, version: &str) -> bool {
        self.ended.contains(version)
    }

    /// Whether rows that a release reads may not have been brought over.
    pub fn misses_rows_of(&self, release: &Release) -> bool {
        let mut first = release.backfills().filter(|file| file.before_switch);
        first.any(|file| !self.is_filled(&file.version) && !self.is_contracted(&file.version))
    }

    /// The migrations that a release doesn't know and whose contract was begun: what it needs may be gone.
    pub fn unknown_to(&self, release: &Release) -> Vec<String> {
        self.begun.iter().filter(|version| !release.knows(version)).cloned().collect()
    }

    /// A release has gone live. Whatever it doesn't know, it may write past. What was brought over before the switch isn't known
    /// to be all: the version before it has gone on writing until now.
    pub(crate) fn go_live(&mut self, live: &Release) {
        self.filled.retain(|version| live.knows(version));
    }

    /// What an ended deployment owed is done.
    pub(crate) fn pay(&mut self, release: &Release, stage: Stage) {
        match stage {
            Stage::Backfill => self.filled.extend(release.backfills().map(version)),
            Stage::Contract => {
                self.ended
                    .extend(release.contracts().map(version).filter(|version| self.begun.contains(version)));
            }
            _ => {}
        }
    }
}

fn version(file: &MigrationFile) -> String {
    file.version.clone()
}

impl Release {
    /// Whether it was made with a migration, so that its code knows both the old structure and the new.
    pub fn knows(&self, version: &str) -> bool {
        self.migrations.iter().any(|file| file.version == version)
    }

    /// What brings rows over.
    pub fn backfills(&self) -> impl Iterator<Item = &MigrationFile> {
        self.of_phase(Phase::Backfill)
    }

    /// What removes the old structure.
    pub fn contracts(&self) -> impl Iterator<Item = &MigrationFile> {
        self.of_phase(Phase::Contract)
    }

    fn of_phase(&self, phase: Phase) -> impl Iterator<Item = &MigrationFile> {
        self.migrations.iter().filter(move |file| file.phase == phase)
    }
}

impl Service {
    /// The migrations of the live release whose old structure is still there, in order, and what each waits for.
    pub fn contracts(&self, now: Timestamp) -> Vec<Contract<'_>> {
        let owed = self.obligations.iter().find(|obligation| obligation.task.stage == Stage::Contract);
        let Some(obligation) = owed else { return Vec::new() };
        let Some(owing) = self.deployment(&obligation.deployment) else { return Vec::new() };
        let pending = owing.plan.release.contracts().filter(|file| !self.schema.is_contracted(&file.version));
        let stands = |file| {
            let due = obligation.not_before();
            let until = (due > now).then_some(Wait::Until(due));
            let waits = self.waits(owing, obligation, file).into_iter().chain(until).collect();
            Contract { file, begun: self.schema.begun.contains(&file.version), waits }
        };
        pending.map(stands).collect()
    }

    /// The migrations whose contract the worker that has claimed it is to do: all that was begun and isn't done.
    pub fn contracting<'a>(&'a self, release: &'a Release) -> impl Iterator<Item = &'a MigrationFile> {
        let is_begun = |file: &&MigrationFile| {
            self.schema.begun.contains(&file.version) && !self.schema.is_contracted(&file.version)
        };
        release.contracts().filter(is_begun)
    }

    /// Whether an obligation may be done as far as other things than the time go.
    pub(crate) fn is_admitted(&self, obligation: &Obligation) -> bool {
        match obligation.task.stage {
            Stage::Contract => !self.admitted(obligation).is_empty(),
            // What the old version may still write there would be passed by.
            Stage::Backfill => self.owing_hosts().is_empty(),
            _ => true,
        }
    }

    /// The contract of what may be contracted now is begun.
    pub(crate) fn begin_contract(&mut self, obligation: &Obligation) {
        let admitted = self.admitted(obligation);
        self.schema.begun.extend(admitted);
    }

    /// The versions whose contract waits for nothing but its time.
    fn admitted(&self, obligation: &Obligation) -> Vec<String> {
        let Some(owing) = self.deployment(&obligation.deployment) else { return Vec::new() };
        let pending = owing.plan.release.contracts().filter(|file| !self.schema.is_contracted(&file.version));
        pending.filter(|file| self.waits(owing, obligation, file).is_empty()).map(version).collect()
    }

    /// What the contract of a migration waits for, the time aside. What has begun waits for nothing more: there is no way back.
    fn waits(&self, owing: &Deployment, obligation: &Obligation, file: &MigrationFile) -> Vec<Wait> {
        let version = &file.version;
        if self.schema.begun.contains(version) {
            return Vec::new();
        }
        let mut waits = Vec::new();
        let release = &owing.plan.release;
        if release.backfills().any(|file| file.version == *version) && !self.schema.is_filled(version) {
            waits.push(Wait::Backfill);
        }
        waits.extend(self.owing_hosts().into_iter().cloned().map(Wait::Host));
        let when = release.settings.contract.when;
        for kept in self.kept.iter().filter(|kept| !kept.release.knows(version)) {
            if let Some(until) = kept.warm_until.filter(|_| self.cools(kept)) {
                waits.push(Wait::Warm(until));
            } else if when == When::Retained && obligation.approved_by.is_none() {
                waits.push(Wait::Release { id: kept.id.clone(), version: kept.release.version.clone() });
            }
        }
        if when == When::Approved && obligation.approved_by.is_none() {
            waits.push(Wait::Approval);
        }
        waits
    }

    /// Whether replicas of a kept release that were kept warm are still to be stopped somewhere.
    fn cools(&self, kept: &KeptRelease) -> bool {
        let there = |host: &HostName| {
            kept.replicas.as_ref().is_some_and(|replicas| replicas.hosts.contains_key(host))
        };
        self.obligations.iter().any(|owed| owed.task.stage == Stage::Cool && owed.host().is_some_and(there))
    }

    /// The hosts on which what is not live may still run: that it is gone from there is what they owe.
    fn owing_hosts(&self) -> BTreeSet<&HostName> {
        self.debts().filter_map(Obligation::host).collect()
    }
}
