//! Migrations: their files as a release pins them, their phases, and the kind of database that they are for.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, Span};

/// A migration's file as the release pins it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationFile {
    /// What it is ordered by: the digits in front of the file's name.
    pub version: String,
    /// The rest of the file's name.
    pub name: String,
    /// The SQL, in the artifact store.
    pub content: Digest,
    /// When it runs. That of a migration of one file isn't written, so that the release's id is the one that it had before there
    /// were phases.
    #[serde(default, skip_serializing_if = "Phase::is_expand")]
    pub phase: Phase,
    /// The declaration that the SQL was written from, by its digest: it is what must not change once it was applied. None: the
    /// SQL was written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Digest>,
    /// Whether it is a backfill whose rows the new version reads: it is done before the switch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_switch: bool,
    /// What is known to be dangerous in it, and meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// A dangerous statement that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The line that it starts in, from 1.
    pub line: usize,
    /// The rule that it breaks.
    pub rule: String,
    /// Why it is meant.
    pub reason: String,
}

/// When the last phase of migrations may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractTerms {
    /// The time after the release has gone live, at the earliest.
    pub after: Span,
    /// What else is waited for.
    pub when: When,
}

/// What the last phase of migrations waits for, beside its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// That no release is kept for rollback which doesn't know the migration.
    #[default]
    Retained,
    /// Nothing: what is kept and doesn't know the migration can't be made live again from then on.
    Elapsed,
    /// That somebody approves it.
    Approved,
}

impl Default for ContractTerms {
    fn default() -> Self {
        Self { after: Span::seconds(3600), when: When::Retained }
    }
}

impl ContractTerms {
    /// Whether they are those of who says nothing.
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl When {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Retained, Self::Elapsed, Self::Approved];

    /// The name in the deploy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retained => "retained",
            Self::Elapsed => "elapsed",
            Self::Approved => "approved",
        }
    }
}

/// From where a database is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// From where the migrator runs.
    #[default]
    Direct,
    /// From the first host.
    Host,
}

impl Via {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Host];

    /// The name in the deploy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Host => "host",
        }
    }

    /// Whether it is the one that is meant where none is named.
    pub const fn is_direct(&self) -> bool {
        matches!(self, Self::Direct)
    }
}

/// A word that is no way to a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no way to the database: one of direct, host")]
pub struct UnknownVia(String);

impl FromStr for Via {
    type Err = UnknownVia;

    fn from_str(text: &str) -> Result<Self, UnknownVia> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| UnknownVia(text.to_owned()))
    }
}

/// When a part of a migration runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before the new version: what the old one tolerates.
    #[default]
    Expand,
    /// In batches, beside the traffic: what brings rows over from the old structure to the new.
    Backfill,
    /// Once nothing needs the old structure: what only the new version tolerates.
    Contract,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 3] = [Self::Expand, Self::Backfill, Self::Contract];

    /// Whether it is the first one.
    pub const fn is_expand(&self) -> bool {
        matches!(self, Self::Expand)
    }

    /// The name in files, in the ledger and in front of people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Backfill => "backfill",
            Self::Contract => "contract",
        }
    }
}

impl MigrationFile {
    /// A part for the first phase, written by hand.
    pub fn expand(version: impl Into<String>, name: impl Into<String>, content: Digest) -> Self {
        Self::of_phase(Phase::Expand, version, name, content)
    }

    /// A part for any phase, written by hand.
    pub fn of_phase(
        phase: Phase,
        version: impl Into<String>,
        name: impl Into<String>,
        content: Digest,
    ) -> Self {
        let (version, name) = (version.into(), name.into());
        Self { version, name, content, phase, declared: None, before_switch: false, overrides: Vec::new() }
    }

    /// Its name in front of people: that of a migration of one file as it always was, that of a later phase with the phase.
    pub fn title(&self) -> String {
        let Self { version, name, phase, .. } = self;
        if phase.is_expand() {
            format!("{version}_{name}")
        } else {
            format!("{version}_{name}.{}", phase.as_str())
        }
    }
}

/// The kind of a database: its dialect of SQL, and what it can change while it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    #[default]
    Postgresql,
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl Engine {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Postgresql, Self::Mysql, Self::Mariadb];

    /// The name in the deploy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }

    /// Whether it is the one that is meant where none is named.
    pub const fn is_postgresql(&self) -> bool {
        matches!(self, Self::Postgresql)
    }
}

/// A name that is no database's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a kind of database: one of postgresql, mysql, mariadb")]
pub struct UnknownEngine(String);

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| UnknownEngine(text.to_owned()))
    }
}

/// A word that says nothing of a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' doesn't say what a contract waits for: one of retained, elapsed, approved")]
pub struct UnknownWhen(String);

impl FromStr for When {
    type Err = UnknownWhen;

    fn from_str(text: &str) -> Result<Self, UnknownWhen> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| UnknownWhen(text.to_owned()))
    }
}
