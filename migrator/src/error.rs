//! Why schema changes could not be made.

use std::time::Duration;

use cutover_core::{Engine, HeldLock};
use cutover_migration::{InvalidMigration, Migration};

use crate::ledger::Refusal;
use crate::{Backend, Backends, Fault, Location};

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
        source: Fault,
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
        "{server} is not one direct session, as behind a PgBouncer in transaction mode, a ProxySQL or a MaxScale: give the address of the database server itself"
    )]
    Pooled {
        /// Host and port, or socket, and the database.
        server: String,
    },
    /// There is another server than a moment ago, or the session has ended.
    #[error(
        "{server} doesn't have the session any more that is at work there: it was ended, the server has failed over, or there are several behind one address"
    )]
    Moved {
        /// Host and port, or socket, and the database.
        server: String,
    },
    /// The server is of another kind than the migrations are for.
    #[error("{server} is a {found}, and the migrations are for {}: correct migrations.engine", engine.as_str())]
    OtherServer {
        /// Host and port, or socket, and the database.
        server: String,
        /// What it calls itself.
        found: String,
        /// What the migrations are for.
        engine: Engine,
    },
    /// The server can't be changed, or not safely.
    #[error("{server} can't be changed: {why}")]
    Unfit {
        /// Host and port, or socket, and the database.
        server: String,
        /// The reason.
        why: &'static str,
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
    #[error("can't {doing} in {server}{}", source.because())]
    Ledger {
        /// What was being done.
        doing: &'static str,
        /// Host and port, or socket, and the database.
        server: String,
        /// The reason.
        #[source]
        source: Fault,
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
    #[error("{location}{}", source.because())]
    Statement {
        /// Where it stands.
        location: Location,
        /// The reason.
        #[source]
        source: Fault,
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
    /// A statement was begun by a migrator that was killed, and nothing tells whether it was done.
    #[error(
        "migration {file} was begun by a migrator that was killed, and whether it was done can't be told: {why}. See for yourself. If it was, or once you have done it by hand: {done} If it wasn't, or once you have taken it back: {undone}"
    )]
    Unclear {
        /// The migration's file.
        file: String,
        /// The reason.
        why: String,
        /// The SQL that says that it was.
        done: String,
        /// The SQL that says that it wasn't.
        undone: String,
    },
    /// In a rehearsal, a transaction held a lock that others wait for, for too long; it was rolled back.
    #[error(
        "migration {file} held {} of {} for {}, and may for {}", lock.mode, lock.table, lock.held, humantime::format_duration(*limit)
    )]
    Held {
        /// The migration's file.
        file: String,
        /// The lock.
        lock: HeldLock,
        /// How long it may be held.
        limit: Duration,
    },
    /// What was given for a copy is the database itself, or is on its server, or follows it.
    #[error("the copy to rehearse on is the database itself, or is on its server: nothing was run on it")]
    NoCopy,
    /// What was given for a copy isn't apart from other servers.
    #[error("{server} is no copy to rehearse on: {why}; nothing was run on it")]
    Tied {
        /// Host and port, or socket, and the database.
        server: String,
        /// The reason.
        why: &'static str,
    },
    /// It is for a server of another kind.
    #[error("migration {file} is for another kind of database than this one")]
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
    /// Somebody else is at work on an index of that name.
    #[error(
        "migration {file}: the index {index} is INVALID, and somebody may be building it right now: {builder}"
    )]
    Building {
        /// The migration's file.
        file: String,
        /// The index, with its schema.
        index: String,
        /// The session that is at work on the indexes of its table.
        builder: Box<Backend>,
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
    /// What the server says of `migration`, after `completed` statements of it had succeeded.
    pub(crate) fn statement(migration: &Migration, completed: usize, source: impl Into<Fault>) -> Self {
        let source = source.into();
        Self::Statement { location: Location::of(migration, completed, &source), source }
    }

    /// Whether the database can't be reached from here, or has no place for a ledger: then there is no fence in it. A ledger
    /// that is there and can't be read is another matter, as is a session that somebody has ended.
    pub(crate) fn leaves_no_fence(&self) -> bool {
        match self {
            Self::Url(_) | Self::Authorities { .. } | Self::Connect { .. } | Self::Silent { .. } => true,
            Self::Ledger { source, .. } => source.is_denied(),
            _ => false,
        }
    }

    /// Whether the session is gone in which it was done: it was ended, or the connection is lost. What has ended it may be
    /// somebody with a later claim.
    pub(crate) fn has_lost_its_session(&self) -> bool {
        match self {
            Self::Moved { .. } => true,
            Self::Ledger { source, .. } | Self::Statement { source, .. } => source.is_loss(),
            _ => false,
        }
    }

    /// Whether another attempt may go better without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Silent { .. }
            | Self::Moved { .. }
            | Self::Building { .. }
            | Self::Turn { .. }
            | Self::Locked { .. }
            | Self::Lag { .. } => true,
            Self::Connect { source, .. } => source.may_connect(),
            Self::Ledger { source, .. } | Self::Statement { source, .. } => source.passes(),
            Self::Migration(_)
            | Self::Url(_)
            | Self::Authorities { .. }
            | Self::Pooled { .. }
            | Self::OtherServer { .. }
            | Self::Unfit { .. }
            | Self::Unclear { .. }
            | Self::Refused(_)
            | Self::Key { .. }
            | Self::Unverified { .. }
            | Self::Held { .. }
            | Self::NoCopy
            | Self::Tied { .. }
            | Self::OtherEngine { .. }
            | Self::InvalidIndex { .. }
            | Self::NoIndex { .. } => false,
        }
    }
}

fn seen(backend: &Option<Box<Backend>>) -> String {
    backend.as_ref().map_or_else(|| "its session could not be seen".to_owned(), |backend| backend.to_string())
}
