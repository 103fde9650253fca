//! What the ledger in the database allows: which migrations are due, and who may run them. Pure.

use cutover_core::{Engine, Epoch, JournalId, Phase, ServiceName};
use cutover_migration::{Migration, Migrations, Version};

use crate::Step;

/// A row of the ledger: a migration of this service in one phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The migration's version.
    pub version: Version,
    /// The phase.
    pub phase: Phase,
    /// The SHA-256 of its content in hex, when it was begun.
    pub checksum: String,
    /// Whether all of it ended. What was begun outside a transaction and not ended was killed.
    pub finished: bool,
    /// Its parts that were begun, where it has several.
    pub parts: Vec<PartEntry>,
}

/// A part of a migration that has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartEntry {
    /// Which one, from 1.
    pub part: usize,
    /// Whether it ended.
    pub finished: bool,
}

/// What is left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due<'a> {
    /// The migrations to run, in order.
    pub pending: Vec<Pending<'a>>,
    /// How many of the given ones are applied already.
    pub already: usize,
}

/// A migration, or a part of one, to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending<'a> {
    /// The migration.
    pub migration: &'a Migration,
    /// Whether an earlier run began it and left no end.
    pub begun: bool,
    /// Whether the migration ends with it.
    pub last: bool,
    /// Whether it is a backfill that had ended: rows may have been written past it since.
    pub again: bool,
}

impl Pending<'_> {
    /// Whether it is a part of several.
    pub fn is_part(&self) -> bool {
        !self.last || self.migration.part() > 1
    }
}

/// Why the ledger refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An applied migration has another content now.
    #[error(
        "migration {file} was applied with the content {applied} and is now {given}: restore it, and put the change in a new migration"
    )]
    Changed {
        /// The file.
        file: String,
        /// The checksum in the ledger.
        applied: String,
        /// The checksum of what is given.
        given: String,
    },
    /// It builds on what isn't there yet.
    #[error("migration {file} comes after {before}, which has not been applied to the end")]
    Early {
        /// The file.
        file: String,
        /// The file that must be applied before it.
        before: String,
    },
    /// A later claim has been here.
    #[error(
        "this claim (sequence {given}) is older than one that has already changed this database (sequence {highest}): another worker has taken over"
    )]
    Stale {
        /// The highest sequence that has been here.
        highest: u64,
        /// The sequence of this claim.
        given: u64,
    },
    /// Another session goes on with what this one was at.
    #[error("another session has gone on with this backfill meanwhile: it is left to that one")]
    Overtaken,
    /// Another journal owns the service in this database.
    #[error(
        "the schema of this service is managed from another journal ({owner}, this one is {given}): deploy from there, or adopt the schema"
    )]
    Foreign {
        /// The journal that has been here.
        owner: JournalId,
        /// The journal of this claim.
        given: JournalId,
    },
}

impl Refusal {
    /// The SQL by which an operator hands the schema of `service` over to the journal that was refused. It changes
    /// nothing once the schema belongs to a third one. None where that isn't the matter.
    pub fn adoption(&self, service: &ServiceName, engine: Engine) -> Option<String> {
        let Self::Foreign { owner, given } = self else { return None };
        let literal = |text: &str| literal(text, engine);
        let (service, owner, given) = (literal(service.as_str()), literal(&owner.0), literal(&given.0));
        let (fence, now) = match engine {
            Engine::Postgresql => ("cutover_ledger.fence", "now()"),
            Engine::Mysql | Engine::Mariadb => ("cutover_ledger_fence", "UTC_TIMESTAMP(6)"),
        };
        Some(format!(
            "UPDATE {fence} SET epoch_journal = {given}, epoch_sequence = 0, raised_at = {now} \
             WHERE service = {service} AND epoch_journal = {owner};"
        ))
    }
}

/// A text as a constant of SQL (PostgreSQL's manual, 4.1.2.1; MySQL's, 11.1.1).
fn literal(text: &str, engine: Engine) -> String {
    let text = text.replace('\'', "''");
    format!("'{}'", if engine.is_postgresql() { text } else { text.replace('\\', "\\\\") })
}

/// Whether a claim with `epoch` may act where the highest epoch so far is `fence`. The same claim may come again.
///
/// # Errors
/// When it is older, or of another journal.
pub fn admit(fence: Option<&Epoch>, epoch: &Epoch) -> Result<(), Refusal> {
    match fence {
        Some(fence) if fence.journal != epoch.journal => {
            Err(Refusal::Foreign { owner: fence.journal.clone(), given: epoch.journal.clone() })
        }
        Some(fence) if fence.sequence > epoch.sequence => {
            Err(Refusal::Stale { highest: fence.sequence, given: epoch.sequence })
        }
        _ => Ok(()),
    }
}

/// Which of `migrations` are due in `step` after `entries`. Entries that aren't among them are of a newer release, or an
/// older one, and fine. A migration below the highest applied version is due too: it came with a branch that was merged
/// late. A backfill that has ended is due again: whoever asks for it has reason to think that rows were written past it.
///
/// # Errors
/// When the content of one that was begun or applied has changed, or an earlier phase of one isn't applied.
pub fn due<'a>(step: Step, migrations: &'a Migrations, entries: &[Entry]) -> Result<Due<'a>, Refusal> {
    let mut due = Due { pending: Vec::new(), already: 0 };
    let entry_of = |migration: &Migration| {
        entries.iter().find(|entry| entry.version == migration.version() && entry.phase == migration.phase())
    };
    let mut all = migrations.of(step.phase()).filter(|migration| step.includes(migration)).peekable();
    while let Some(migration) = all.next() {
        let last = all.peek().is_none_or(|next| next.version() != migration.version());
        let entry = entry_of(migration);
        let mut pending = Pending { migration, begun: entry.is_some(), last, again: false };
        if let Some(entry) = entry {
            if entry.checksum != migration.checksum() {
                return Err(Refusal::Changed {
                    file: migration.file().to_owned(),
                    applied: entry.checksum.clone(),
                    given: migration.checksum().to_owned(),
                });
            }
            let part = entry.parts.iter().find(|part| part.part == migration.part());
            if entry.finished || part.is_some_and(|part| part.finished) {
                if step.phase() == Phase::Backfill {
                    due.pending.push(Pending { again: true, ..pending });
                } else {
                    due.already += 1;
                }
                continue;
            }
            if pending.is_part() {
                pending.begun = part.is_some();
            }
        }
        let before = migrations.iter().find(|before| {
            before.version() == migration.version()
                && before.phase() < migration.phase()
                && !entry_of(before).is_some_and(|entry| entry.finished)
        });
        if let Some(before) = before {
            let (file, before) = (migration.file().to_owned(), before.file().to_owned());
            return Err(Refusal::Early { file, before });
        }
        due.pending.push(pending);
    }
    Ok(due)
}

/// Whether all of `migrations`, in all phases, are applied by `entries`.
pub fn has_all(migrations: &Migrations, entries: &[Entry]) -> bool {
    migrations.iter().all(|migration| {
        entries.iter().any(|entry| {
            entry.finished && entry.version == migration.version() && entry.phase == migration.phase()
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{Digest, MigrationFile};

    use super::*;

    const SQL: &str = "SELECT 1";
    const PARTS: &str = "SELECT 1;\n-- cutover: part\nSELECT 2";
    const FILL: &str =
        "-- cutover: table=a\n-- cutover: verify=b IS NULL\nUPDATE a SET b = 1 WHERE :batch AND b IS NULL";

    fn migrations(files: &[(&str, Phase, &str)]) -> Migrations {
        let read = |(version, phase, sql): &(&str, Phase, &str)| {
            let expand = MigrationFile::expand(*version, "change", Digest::of(sql.as_bytes()));
            let file = MigrationFile { phase: *phase, ..expand };
            Migration::read(&file, sql, Engine::Postgresql).unwrap()
        };
        Migrations::new(files.iter().flat_map(read).collect()).unwrap()
    }

    fn entry(version: i64, phase: Phase, sql: &str, finished: bool) -> Entry {
        let checksum = Digest::of(sql.as_bytes()).hex().to_owned();
        Entry { version: Version::from_ledger(version), phase, checksum, finished, parts: Vec::new() }
    }

    /// The version, the part, whether it was begun and whether it is the last part of each that is due.
    fn pending(due: &Due<'_>) -> Vec<(i64, usize, bool, bool)> {
        let row = |pending: &Pending<'_>| {
            (pending.migration.version().number(), pending.migration.part(), pending.begun, pending.last)
        };
        due.pending.iter().map(row).collect()
    }

    fn epoch(journal: &str, sequence: u64) -> Epoch {
        Epoch { journal: JournalId(journal.to_owned()), sequence }
    }

    #[test]
    fn what_is_not_in_the_ledger_is_due() {
        let expand = |version| (version, Phase::Expand, SQL);
        let migrations = migrations(&["1", "2", "3"].map(expand));
        let entries = [1, 3, 9].map(|version| entry(version, Phase::Expand, SQL, true));
        let due = due(Step::Expand, &migrations, &entries).unwrap();
        assert_eq!((due.already, pending(&due)), (2, vec![(2, 1, false, true)]));
    }

    #[test]
    fn what_was_begun_and_not_ended_is_due_again() {
        let migrations = migrations(&[("1", Phase::Expand, SQL)]);
        let due = due(Step::Expand, &migrations, &[entry(1, Phase::Expand, SQL, false)]).unwrap();
        assert_eq!(pending(&due), [(1, 1, true, true)]);
    }

    #[test]
    fn of_several_parts_those_that_ended_are_not_done_again() {
        let migrations = migrations(&[("1", Phase::Expand, PARTS), ("2", Phase::Expand, SQL)]);
        let after = |parts: &[(usize, bool)]| {
            let parts = parts.iter().map(|&(part, finished)| PartEntry { part, finished }).collect();
            let entries = [Entry { parts, ..entry(1, Phase::Expand, PARTS, false) }];
            pending(&due(Step::Expand, &migrations, &entries).unwrap())
        };
        let second = (2, 1, false, true);
        assert_eq!(after(&[]), [(1, 1, false, false), (1, 2, false, true), second]);
        assert_eq!(after(&[(1, false)]), [(1, 1, true, false), (1, 2, false, true), second]);
        assert_eq!(after(&[(1, true)]), [(1, 2, false, true), second]);
        assert_eq!(after(&[(1, true), (2, false)]), [(1, 2, true, true), second]);
    }

    #[test]
    fn a_phase_comes_after_those_before_it() {
        let files = [("1", Phase::Expand, SQL), ("1", Phase::Backfill, FILL), ("1", Phase::Contract, SQL)];
        let migrations = migrations(&files);
        let expanded = entry(1, Phase::Expand, SQL, true);
        let due = |step, entries: &[Entry]| due(step, &migrations, entries).map(|due| due.pending.len());
        assert!(matches!(due(Step::Backfill, &[]), Err(Refusal::Early { .. })));
        assert_eq!(due(Step::Backfill, std::slice::from_ref(&expanded)), Ok(1));
        assert_eq!(due(Step::BackfillBeforeSwitch, &[]), Ok(0), "the new version doesn't read the rows");
        let begun = [expanded.clone(), entry(1, Phase::Backfill, FILL, false)];
        assert!(matches!(due(Step::Contract, &begun), Err(Refusal::Early { .. })));
        assert_eq!(due(Step::Contract, &[expanded, entry(1, Phase::Backfill, FILL, true)]), Ok(1));
    }

    #[test]
    fn changed_content_is_refused() {
        let migrations = migrations(&[("1", Phase::Expand, SQL)]);
        let changed = Entry { checksum: "0".repeat(64), ..entry(1, Phase::Expand, SQL, true) };
        assert!(matches!(due(Step::Expand, &migrations, &[changed]), Err(Refusal::Changed { .. })));
    }

    #[test]
    fn only_what_another_journal_owns_is_there_to_adopt() {
        let service: ServiceName = "shop".parse().unwrap();
        let foreign = admit(Some(&epoch("a'; DROP TABLE posts; --", 5)), &epoch("b", 1)).unwrap_err();
        let adoption = foreign.adoption(&service, Engine::Postgresql).unwrap();
        assert!(adoption.ends_with("AND epoch_journal = 'a''; DROP TABLE posts; --';"), "{adoption}");
        assert_eq!(
            admit(Some(&epoch("a", 5)), &epoch("a", 4)).unwrap_err().adoption(&service, Engine::Mysql),
            None
        );
        let other = admit(Some(&epoch("a'\\", 5)), &epoch("b", 1)).unwrap_err();
        let adoption = other.adoption(&service, Engine::Mariadb).unwrap();
        assert!(adoption.ends_with(r"AND epoch_journal = 'a''\\';"), "{adoption}");
    }

    #[test]
    fn the_fence_admits_the_same_claim_and_later_ones_of_its_journal() {
        let fence = epoch("a", 5);
        assert_eq!(admit(None, &fence), Ok(()));
        assert_eq!(admit(Some(&fence), &epoch("a", 5)), Ok(()));
        assert_eq!(admit(Some(&fence), &epoch("a", 6)), Ok(()));
        assert!(matches!(admit(Some(&fence), &epoch("a", 4)), Err(Refusal::Stale { .. })));
        assert!(matches!(admit(Some(&fence), &epoch("b", 6)), Err(Refusal::Foreign { .. })));
    }
}
