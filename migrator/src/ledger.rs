//! What the ledger in the database allows: which migrations are due, and who may run them. Pure.

use cutover_core::{Epoch, JournalId, Phase, ServiceName};

use cutover_migration::{Migration, Migrations, Version};

/// A row of the ledger: a migration of this service in the expand phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The migration's version.
    pub version: Version,
    /// The SHA-256 of its content in hex, when it was begun.
    pub checksum: String,
    /// Whether it ended. One that was begun outside a transaction and not ended was killed.
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

/// A migration to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending<'a> {
    /// The migration.
    pub migration: &'a Migration,
    /// Whether an earlier run began it and left no end.
    pub begun: bool,
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
    pub fn adoption(&self, service: &ServiceName) -> Option<String> {
        let Self::Foreign { owner, given } = self else { return None };
        let (service, owner, given) = (literal(service.as_str()), literal(&owner.0), literal(&given.0));
        Some(format!(
            "UPDATE cutover_ledger.fence SET epoch_journal = {given}, epoch_sequence = 0, raised_at = now() \
             WHERE service = {service} AND epoch_journal = {owner};"
        ))
    }
}

/// A text as a constant of SQL (PostgreSQL's manual, 4.1.2.1).
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
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

/// Which of `migrations` are due after `entries`. Entries that aren't among them are of a newer release, or an older
/// one, and fine. A migration below the highest applied version is due too: it came with a branch that was merged late.
///
/// # Errors
/// When the content of one that was begun or applied has changed.
pub fn due<'a>(migrations: &'a Migrations, entries: &[Entry]) -> Result<Due<'a>, Refusal> {
    let mut due = Due { pending: Vec::new(), already: 0 };
    for migration in migrations.of(Phase::Expand) {
        let entry = entries.iter().find(|entry| entry.version == migration.version());
        match entry {
            Some(entry) if entry.checksum != migration.checksum() => {
                return Err(Refusal::Changed {
                    file: migration.file().to_owned(),
                    applied: entry.checksum.clone(),
                    given: migration.checksum().to_owned(),
                });
            }
            Some(entry) if entry.finished => due.already += 1,
            _ => due.pending.push(Pending { migration, begun: entry.is_some() }),
        }
    }
    Ok(due)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{Digest, Engine, MigrationFile};

    use super::*;

    fn migrations(versions: &[&str]) -> Migrations {
        let read = |version: &&str| {
            let file = MigrationFile::expand(*version, "change", Digest::of(b"SELECT 1"));
            Migration::read(&file, "SELECT 1", Engine::Postgresql).unwrap()
        };
        Migrations::new(versions.iter().flat_map(read).collect()).unwrap()
    }

    fn entry(version: i64, finished: bool) -> Entry {
        let checksum = Digest::of(b"SELECT 1").hex().to_owned();
        Entry { version: Version::from_ledger(version), checksum, finished }
    }

    fn epoch(journal: &str, sequence: u64) -> Epoch {
        Epoch { journal: JournalId(journal.to_owned()), sequence }
    }

    #[test]
    fn what_is_not_in_the_ledger_is_due() {
        let migrations = migrations(&["1", "2", "3"]);
        let due = due(&migrations, &[entry(1, true), entry(3, true), entry(9, true)]).unwrap();
        assert_eq!(due.already, 2);
        assert_eq!(
            due.pending.iter().map(|p| (p.migration.version().number(), p.begun)).collect::<Vec<_>>(),
            [(2, false)]
        );
    }

    #[test]
    fn what_was_begun_and_not_ended_is_due_again() {
        let migrations = migrations(&["1"]);
        assert!(due(&migrations, &[entry(1, false)]).unwrap().pending.iter().all(|pending| pending.begun));
    }

    #[test]
    fn changed_content_is_refused() {
        let changed = Entry { checksum: "0".repeat(64), ..entry(1, true) };
        assert!(matches!(due(&migrations(&["1"]), &[changed]), Err(Refusal::Changed { .. })));
    }

    #[test]
    fn only_what_another_journal_owns_is_there_to_adopt() {
        let service: ServiceName = "shop".parse().unwrap();
        let foreign = admit(Some(&epoch("a'; DROP TABLE posts; --", 5)), &epoch("b", 1)).unwrap_err();
        let adoption = foreign.adoption(&service).unwrap();
        assert!(adoption.ends_with("AND epoch_journal = 'a''; DROP TABLE posts; --';"), "{adoption}");
        assert_eq!(admit(Some(&epoch("a", 5)), &epoch("a", 4)).unwrap_err().adoption(&service), None);
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
