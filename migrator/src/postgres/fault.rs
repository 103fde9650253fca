//! What PostgreSQL's errors mean, by their SQLSTATE (manual, appendix A).

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

/// Whether a lock was not given, or waiting for it would never have ended.
pub(crate) fn is_contention(error: &Error) -> bool {
    matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// Whether a statement was cancelled: it took longer than it may, or somebody has asked the server to.
pub(crate) fn is_cancelled(error: &Error) -> bool {
    error.code() == Some(&SqlState::QUERY_CANCELED)
}

/// Whether what failed may work later: the connection is gone, or the error is of a class that is about the moment
/// (40 transaction rollback, 53 insufficient resources, 57P operator intervention, 08 connection).
pub(crate) fn passes(error: &Error) -> bool {
    match error.code() {
        Some(code) => ["08", "40", "53", "57P"].into_iter().any(|class| code.code().starts_with(class)),
        None => true,
    }
}

/// Whether the role has no right to do it.
pub(crate) fn is_denied(error: &Error) -> bool {
    error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

/// Whether a pooler has given a statement to another session than the one that knows it: it isn't there (26000), or another's has
/// its name (42P05).
pub(super) fn is_pooled(error: &Error) -> bool {
    matches!(error.code(), Some(&SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT))
}

/// Whether the connection is gone, or the server has ended the session: at an administrator's command (57P01), as it shuts down
/// (57P02, 57P03), as it was idle for too long (25P03), or class 08.
pub(crate) fn is_loss(error: &Error) -> bool {
    match error.code() {
        Some(code) => ["08", "57P0", "25P03"].into_iter().any(|class| code.code().starts_with(class)),
        None => {
            let source = std::error::Error::source(error);
            error.is_closed() || source.is_some_and(|source| source.is::<std::io::Error>())
        }
    }
}

/// Whether a connection may be had later: the server doesn't know us and refuse (wrong password, no such database: classes
/// 28 and 3D), and its certificate, or its TLS, isn't other than the URL demands.
pub(crate) fn may_connect(error: &Error) -> bool {
    let refuses = |code: &SqlState| code.code().starts_with("28") || code.code().starts_with("3D");
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let distrusts = source.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>());
    !error.code().is_some_and(refuses) && !distrusts
}

/// The line and the column, from 1, at which the server found `error` in `sql`. It counts characters from 1 (manual, 55.8).
pub(crate) fn place(error: &Error, sql: &str) -> Option<(usize, Option<usize>)> {
    let Some(ErrorPosition::Original(position)) = error.as_db_error().and_then(DbError::position) else {
        return None;
    };
    let before = sql.chars().take((*position as usize).saturating_sub(1));
    let (line, column) =
        before.fold(
            (1, 1),
            |(line, column), character| {
                if character == '\n' { (line + 1, 1) } else { (line, column + 1) }
            },
        );
    Some((line, Some(column)))
}

/// What the server says, as far as it goes beyond the name of the error.
pub(crate) fn because(error: &Error) -> String {
    let Some(error) = error.as_db_error() else { return String::new() };
    let mut text = format!(": {} (SQLSTATE {})", error.message(), error.code().code());
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}
