//! Who holds locks on what a migration names, seen before it asks for any.

use std::collections::BTreeSet;

use cutover_core::Engine;
use cutover_migration::{Migration, statements};

use super::Session;
use super::activity::COLUMNS;
use crate::ladder::Oldest;
use crate::{Backend, Backends, Error, Limits};

/// What others hold.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// The sessions of clients, the oldest transaction first.
    pub(crate) clients: Backends,
    /// The tables that autovacuum is at work on, quoted where needed. It holds a lock that no schema change gets past.
    pub(crate) vacuumed: Vec<String>,
}

impl Holders {
    /// Looks who holds locks on what `names` stand for. Any lock counts: which one the server will want is its own secret.
    pub(crate) async fn look(session: &Session, names: &[String]) -> Result<Self, Error> {
        let look = format!(
            "SELECT DISTINCT ON (a.xact_start, a.pid) {COLUMNS}, a.backend_type = 'autovacuum worker' AS vacuum, \
             l.relation::regclass::text AS relation FROM unnest($1::text[]) AS given (name) \
             JOIN pg_locks l ON l.relation = to_regclass(given.name) AND l.granted \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             JOIN pg_stat_activity a USING (pid) WHERE a.pid <> pg_backend_pid() ORDER BY a.xact_start, a.pid"
        );
        let read = async {
            let mut found = Self::default();
            for row in session.client().query(&look, &[&names]).await? {
                if row.try_get::<_, Option<bool>>("vacuum")?.unwrap_or_default() {
                    found.vacuumed.push(row.try_get("relation")?);
                } else {
                    found.clients.0.push(Backend::read(&row)?);
                }
            }
            Ok(found)
        };
        read.await.map_err(session.error("see who holds locks"))
    }

    /// How old the oldest is.
    pub(crate) fn oldest(&self, limits: &Limits) -> Oldest {
        let is_older = |age| self.clients.0.iter().any(|backend| backend.is_older_than(age));
        match limits.end_blockers {
            Some(age) if is_older(age) => Oldest::Overdue,
            _ if is_older(limits.lock) => Oldest::Old,
            _ => Oldest::Young,
        }
    }
}

/// All that may be the name of a table or an index in `migration`, as written. Most of it is nothing of the kind, which the
/// server knows.
pub(crate) fn names(migration: &Migration) -> Vec<String> {
    let mut names = BTreeSet::new();
    for statement in statements(migration.sql(), Engine::Postgresql) {
        let tokens = &statement.tokens;
        let name = |at: usize| {
            let token = tokens.get(at)?;
            token.is_name().then_some(token.text)
        };
        for at in 0..tokens.len() {
            let Some(first) = name(at) else { continue };
            let is_schema = tokens.get(at + 1).is_some_and(|token| token.is_symbol("."));
            names.insert(match name(at + 2).filter(|_| is_schema) {
                Some(second) => format!("{first}.{second}"),
                None => first.to_owned(),
            });
        }
    }
    names.into_iter().collect()
}
