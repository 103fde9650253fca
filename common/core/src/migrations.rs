//! Migrations: their files as a release pins them, their phases, and the kind of database that they are for.

use serde::{Deserialize, Serialize};

use crate::Digest;

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
        Self { version: version.into(), name: name.into(), content, phase: Phase::Expand, declared: None }
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
