//! A rehearsal: the migrations of a release, all phases of them, on a copy of the database before they touch the database.

use serde::{Deserialize, Serialize};

use crate::{Reference, Span, Via};

/// Where migrations are rehearsed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalTerms {
    /// The copy.
    pub database: Reference,
    /// From where it is reached.
    #[serde(default, skip_serializing_if = "Via::is_direct")]
    pub via: Via,
    /// How long one migration may keep others from reading or writing a table, at most.
    pub hold: Span,
    /// All of it.
    pub timeout: Span,
}

impl RehearsalTerms {
    /// How long a lock is held at most where nobody says otherwise.
    pub const HOLD: Span = Span::seconds(1);
    /// How long all of it may take where nobody says otherwise.
    pub const TIMEOUT: Span = Span::seconds(4 * 60 * 60);
}

/// What one part of a migration did in a rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// Its file.
    pub migration: String,
    /// How long it took.
    pub took: Span,
    /// The rows that it wrote.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// The locks of tables that it held to its end, as far as the server shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<HeldLock>,
    /// What is dangerous in it, where its SQL wasn't known before it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hazards: Vec<Hazard>,
}

/// A statement that is dangerous to those who use the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hazard {
    /// The name of the rule that it breaks.
    pub rule: String,
    /// The beginning of the statement.
    pub sql: String,
}

/// A lock that was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLock {
    /// The table, with its schema where that isn't the usual one.
    pub table: String,
    /// Its kind, in the server's words.
    pub mode: String,
    /// How long at most: from the migration's first statement to the end of its transaction.
    pub held: Span,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_zero(rows: &u64) -> bool {
    *rows == 0
}
