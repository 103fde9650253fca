//! Who holds locks on what a migration names, seen before it asks for any.

use cutover_core::Engine;
use cutover_migration::{Migration, statements};

use super::Session;
use super::processes::Processes;
use crate::ladder::Oldest;
use crate::{Backends, Limits};

/// Where a server shows who holds the locks of metadata, which is what a change of a table waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// In `performance_schema.metadata_locks`: MySQL's default (manual, 29.12.13.3).
    Schema,
    /// In `information_schema.metadata_lock_info`, a plugin of MariaDB's.
    Plugin,
    /// Nowhere: there are only transactions that are open, and queries that run, on whatever tables.
    Transactions,
}

/// What asks a server where it shows it. The first is there, and empty, even where nothing is collected.
const SCHEMA: &str = "SELECT COUNT(*) FROM performance_schema.setup_instruments \
    WHERE name = 'wait/lock/metadata/sql/mdl' AND enabled = 'YES' AND @@performance_schema = 1";
const PLUGIN: &str = "SELECT COUNT(*) FROM information_schema.plugins \
    WHERE plugin_name = 'METADATA_LOCK_INFO' AND plugin_status = 'ACTIVE'";

impl Sight {
    /// What there is on the server of `session`.
    pub(super) async fn of(session: &mut Session) -> Self {
        for (sight, asked) in [(Self::Schema, SCHEMA), (Self::Plugin, PLUGIN)] {
            // Whoever may not ask has no use for it either.
            let found = session.query::<i64>(asked).await.unwrap_or_default();
            if found.first().is_some_and(|found| *found > 0) {
                return sight;
            }
        }
        Self::Transactions
    }

    /// The condition for sessions that hold a lock on one of the tables `names` of this database.
    fn holding(self, names: &[String]) -> String {
        let names = if names.is_empty() { "NULL".to_owned() } else { names.join(", ") };
        match self {
            Self::Schema => format!(
                "p.id IN (SELECT h.processlist_id FROM performance_schema.metadata_locks l \
                 JOIN performance_schema.threads h ON h.thread_id = l.owner_thread_id \
                 WHERE l.object_type = 'TABLE' AND l.lock_status = 'GRANTED' AND l.object_schema = DATABASE() AND l.object_name IN ({names}))"
            ),
            Self::Plugin => format!(
                "p.id IN (SELECT l.thread_id FROM information_schema.metadata_lock_info l \
                 WHERE l.lock_type = 'Table metadata lock' AND l.table_schema = DATABASE() AND l.table_name IN ({names}))"
            ),
            Self::Transactions => "t.trx_id IS NOT NULL OR p.command IN ('Query', 'Execute')".to_owned(),
        }
    }
}

/// The sessions that hold locks on what `names` stand for, as far as `sight` goes, the oldest transaction first.
pub(super) async fn holders(
    session: &mut Session,
    sight: Sight,
    names: &[String],
) -> Result<Backends, mysql_async::Error> {
    Processes::of(session).find(session, &sight.holding(names)).await
}

/// How old the oldest of `holders` is.
pub(super) fn oldest(holders: &Backends, limits: &Limits) -> Oldest {
    let is_older = |age| holders.0.iter().any(|backend| backend.is_older_than(age));
    match limits.end_blockers {
        Some(age) if is_older(age) => Oldest::Overdue,
        _ if is_older(limits.lock) => Oldest::Old,
        _ => Oldest::Young,
    }
}

/// All that may be the name of a table in `migration`, as constants. Most of it is nothing of the kind, which the server knows.
pub(super) fn names(migration: &Migration) -> Vec<String> {
    let statements = statements(migration.sql(), Engine::Mysql);
    let tokens = statements.iter().flat_map(|statement| &statement.tokens);
    let mut names: Vec<String> = tokens
        .filter(|token| token.is_name())
        .map(|token| literal(&token.text.trim_matches('`').replace("``", "`")))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A text as a constant of SQL, whatever is in it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_name_stays_a_value() {
        assert_eq!(literal("it's \\"), r"'it\'s \\'");
        assert!(Sight::Plugin.holding(&[]).contains("IN (NULL)"));
    }
}
