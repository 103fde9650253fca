//! What a database server, or the way to it, says went wrong.

use std::time::Duration;

use crate::{mysql, postgres};

/// What went wrong between us and a server.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// On PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// On MySQL or MariaDB.
    #[error(transparent)]
    Mysql(#[from] mysql_async::Error),
    /// We ended a statement ourselves, as MySQL and MariaDB have no limit of their own for it.
    #[error("it took longer than {} s and was ended", .0.as_secs_f32())]
    Late(Duration),
    /// We ended a statement ourselves, as MySQL and MariaDB count waits for locks in whole seconds.
    #[error("it got no lock within {} s and was ended", .0.as_secs_f32())]
    Locked(Duration),
}

impl Fault {
    /// Whether a lock was not given, or waiting for it would never have ended.
    pub fn is_contention(&self) -> bool {
        match self {
            Self::Postgres(error) => postgres::fault::is_contention(error),
            Self::Mysql(error) => mysql::fault::is_contention(error),
            Self::Late(_) => false,
            Self::Locked(_) => true,
        }
    }

    /// Whether a statement was cancelled: it took longer than it may, or somebody has asked the server to.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Postgres(error) => postgres::fault::is_cancelled(error),
            Self::Mysql(error) => mysql::fault::is_cancelled(error),
            Self::Late(_) => true,
            Self::Locked(_) => false,
        }
    }

    /// Whether MySQL or MariaDB can't make a change in the way that its statement asks for (`ALGORITHM`, `LOCK`).
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Mysql(error) if mysql::fault::is_unsupported(error))
    }

    /// Whether the role has no right to do it.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Postgres(error) if postgres::fault::is_denied(error))
    }

    /// Whether the connection is gone, or the server has ended the session.
    pub(crate) fn is_loss(&self) -> bool {
        match self {
            Self::Postgres(error) => postgres::fault::is_loss(error),
            // Of a statement that was in the works they say no more than that it was ended.
            Self::Mysql(error) => mysql::fault::is_fatal(error) || mysql::fault::is_cancelled(error),
            Self::Late(_) | Self::Locked(_) => false,
        }
    }

    /// Whether what failed may work later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Postgres(error) => postgres::fault::passes(error),
            Self::Mysql(error) => mysql::fault::passes(error),
            Self::Late(_) => false,
            Self::Locked(_) => true,
        }
    }

    /// Whether a connection that failed may be had later: the server neither knows us and refuses, nor is it one that the
    /// URL's demands on TLS rule out.
    pub(crate) fn may_connect(&self) -> bool {
        match self {
            Self::Postgres(error) => postgres::fault::may_connect(error),
            Self::Mysql(error) => mysql::fault::may_connect(error),
            Self::Late(_) | Self::Locked(_) => true,
        }
    }

    /// The line and, where the server gave it, the column of `sql` at which it was found, both from 1.
    pub(crate) fn place(&self, sql: &str) -> Option<(usize, Option<usize>)> {
        match self {
            Self::Postgres(error) => postgres::fault::place(error, sql),
            Self::Mysql(error) => mysql::fault::place(error, sql),
            Self::Late(_) | Self::Locked(_) => None,
        }
    }

    /// What the server says, as far as it goes beyond the name of the error. What isn't the server's stays in the source.
    pub(crate) fn because(&self) -> String {
        match self {
            Self::Postgres(error) => postgres::fault::because(error),
            Self::Mysql(error) => mysql::fault::because(error),
            Self::Late(_) | Self::Locked(_) => format!(": {self}"),
        }
    }
}
