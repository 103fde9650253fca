//! Why schema changes could not be made.

use std::fmt;
use std::time::Duration;

use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use crate::ledger::Refusal;
use crate::{Backend, Backends};
use cutover_migration::{InvalidMigration, Migration};

/// A reason why migrations could not be applied. What had been applied before it stays applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is no migration, or not the pinned one.
    #[error(transparent)]
    Migration(#[from] InvalidMigration),
    /// The database's URL can't be read. The URL itself is never repeated.
    #[error("the database's URL can't be used: {0}")]
    Url(&'static str),
    /// The authorities that the server's certificate is to be checked by can't be used.
    #[error("can't use the certificates of authorities {file}: {source}")]
    Authorities {
        /// Where they are.
        file: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no connection.
    #[error("can't connect to the database at {server}")]
    Connect {
        /// Host and port, or socket, and the database.
        server: String,
        /// The reason.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The connection was not made in time.
    #[error("can't connect to the database at {server}: no answer within {} s", limit.as_secs_f32())]
    Silent {
        /// Host and port, or socket, and the database.
        server: String,
        /// The limit.
        limit: Duration,
    },
    /// Statements end up in different sessions.
    #[error(
        "{server} is not one direct session, as behind a PgBouncer in transaction mode: give the address of the PostgreSQL server itself"
    )]
    Pooled {
        /// Host and port, or socket, and the database.
        server: String,
    },
    /// Another session didn't give up its turn.
    #[error("another migrator, or what a killed one left running, is still at work in {server} after {} s: {}", waited.as_secs_f32(), seen(holder))]
    Turn {
        /// Host and port, or socket, and the database.
        server: String,
        /// How long was waited.
        waited: Duration,
        /// The session that holds the turn, where it could be seen.
        holder: Option<Box<Backend>>,
    },
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger, or the session's settings, could not be read or written.
    #[error("can't {doing} in {server}{}", because(source))]
    Ledger {
        /// What was being done.
        doing: &'static str,
        /// Host and port, or socket, and the database.
        server: String,
        /// The reason.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The locks weren't given in time.
    #[error("migration {file} got no lock in {tries} tries over {} s; nothing of it was applied; held by {blockers}", waited.as_secs_f32())]
    Locked {
        /// The migration's file.
        file: String,
        /// How often it was tried.
        tries: u32,
        /// How long was waited.
        waited: Duration,
        /// The sessions that hold the lock.
        blockers: Backends,
    },
    /// A statement failed; its migration was rolled back.
    #[error("{location}{}", because(source))]
    Statement {
        /// Where it stands.
        location: Location,
        /// The reason.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A table can't be walked through as asked.
    #[error("migration {file}: {table} can't be walked through in batches: {why}")]
    Key {
        /// The migration's file.
        file: String,
        /// The table.
        table: String,
        /// The reason.
        why: String,
    },
    /// There are rows that a backfill has not brought over.
    #[error(
        "migration {file}: after {rounds} walks through the table, {left} rows still match its verify condition: the statement passes them over, or something writes such rows still"
    )]
    Unverified {
        /// The migration's file.
        file: String,
        /// How often the table was walked through.
        rounds: i32,
        /// How many rows, or "more than" so many.
        left: String,
    },
    /// Replicas stay behind.
    #[error("migration {file}: replicas have been more than {} s behind for {} s; the backfill goes on from where it is", limit.as_secs_f32(), waited.as_secs())]
    Lag {
        /// The migration's file.
        file: String,
        /// How far they may be behind.
        limit: Duration,
        /// How long was waited.
        waited: Duration,
    },
    /// It is for a server of another kind.
    #[error("migration {file} is for another kind of database than PostgreSQL")]
    OtherEngine {
        /// The migration's file.
        file: String,
    },
    /// There is an invalid index that no migration left.
    #[error(
        "migration {file}: the index {index} exists, is INVALID and was not left by a migration; drop it (DROP INDEX CONCURRENTLY {index}) and deploy again"
    )]
    InvalidIndex {
        /// The migration's file.
        file: String,
        /// The index, with its schema.
        index: String,
    },
    /// The index isn't there although the statement succeeded.
    #[error(
        "migration {file}: the server reported success, but its table has no valid index {index}; is there a relation of that name elsewhere?"
    )]
    NoIndex {
        /// The migration's file.
        file: String,
        /// The index.
        index: String,
    },
}

impl Error {
    /// Whether another attempt may go better without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Turn { .. } | Self::Locked { .. } | Self::Lag { .. } => true,
            Self::Connect { source, .. } => {
                !source.code().is_some_and(refuses_login) && !distrusts_server(source)
            }
            Self::Ledger { source, .. } | Self::Statement { source, .. } => passes(source),
            Self::Migration(_)
            | Self::Url(_)
            | Self::Authorities { .. }
            | Self::Pooled { .. }
            | Self::Refused(_)
            | Self::Key { .. }
            | Self::Unverified { .. }
            | Self::OtherEngine { .. }
            | Self::InvalidIndex { .. }
            | Self::NoIndex { .. } => false,
        }
    }
}

/// Whether the server knows us and refuses: wrong password, no such database (classes 28 and 3D of the manual's
/// appendix A).
fn refuses_login(code: &SqlState) -> bool {
    code.code().starts_with("28") || code.code().starts_with("3D")
}

/// Whether the server's certificate, or its TLS, is not what the URL demands.
pub(crate) fn distrusts_server(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Whether what failed may work later: the connection is gone, or the error is of a class that is about the moment
/// (40 transaction rollback, 53 insufficient resources, 57P operator intervention, 08 connection).
fn passes(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => ["08", "40", "53", "57P"].into_iter().any(|class| code.code().starts_with(class)),
        None => true,
    }
}

/// Whether `error` says that a lock was not given, or that waiting for it would never have ended.
pub(crate) fn is_contention(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// Whether `error` says that a statement was cancelled: it took longer than it may, or somebody has asked the server to.
pub(crate) fn is_cancelled(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::QUERY_CANCELED)
}

/// Where a statement stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The migration's file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1, where the server gave it.
    pub column: Option<usize>,
}

impl Location {
    /// Where in `migration` the server found `error`, after `completed` statements of it had succeeded.
    pub(crate) fn of(migration: &Migration, completed: usize, error: &tokio_postgres::Error) -> Self {
        if let Some((line, column)) = position(migration.sql(), error) {
            return Self { file: migration.file().to_owned(), line, column: Some(column) };
        }
        let lines = migration.lines();
        let line = lines.get(completed).or(lines.last()).copied().unwrap_or(1);
        Self { file: migration.file().to_owned(), line, column: None }
    }

    /// The same in `sql`, which was made of the one statement of `migration` and has its lines, but not its columns.
    pub(crate) fn within(migration: &Migration, sql: &str, error: &tokio_postgres::Error) -> Self {
        match position(sql, error) {
            Some((line, _)) => Self { file: migration.file().to_owned(), line, column: None },
            None => Self::of(migration, 0, error),
        }
    }
}

/// The line and the column, from 1, at which the server found `error` in `sql`. It counts characters from 1 (manual, 55.8).
fn position(sql: &str, error: &tokio_postgres::Error) -> Option<(usize, usize)> {
    let Some(ErrorPosition::Original(position)) = error.as_db_error().and_then(DbError::position) else {
        return None;
    };
    let before = sql.chars().take((*position as usize).saturating_sub(1));
    Some(before.fold(
        (1, 1),
        |(line, column), character| {
            if character == '\n' { (line + 1, 1) } else { (line, column + 1) }
        },
    ))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "migration {}, line {}", self.file, self.line)?;
        self.column.map_or(Ok(()), |column| write!(f, ", column {column}"))
    }
}

/// What the server says, as far as it goes beyond the name of the error. What isn't the server's stays in the source.
fn because(error: &tokio_postgres::Error) -> String {
    let Some(error) = error.as_db_error() else { return String::new() };
    let mut text = format!(": {} (SQLSTATE {})", error.message(), error.code().code());
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

fn seen(backend: &Option<Box<Backend>>) -> String {
    backend.as_ref().map_or_else(|| "its session could not be seen".to_owned(), |backend| backend.to_string())
}
