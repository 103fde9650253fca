//! What the errors of MySQL and MariaDB mean, by their numbers (MySQL's server error message reference; MariaDB's list of
//! error codes).

use mysql_async::{DriverError, Error, IoError};

/// A lock was not given: in time, because of a deadlock, or at once where nobody was to wait.
const CONTENTION: [u16; 3] = [1205, 1213, 3572];

/// A statement was ended on somebody's demand, or took longer than `max_statement_time` or `max_execution_time`.
const CANCELLED: [u16; 3] = [1317, 1969, 3024];

/// The change can't be made by this ALGORITHM, or with this LOCK.
const UNSUPPORTED: [u16; 2] = [1845, 1846];

/// The login is refused: access denied, no such database, host not allowed, unknown plugin, password expired, account locked.
const REFUSED: [u16; 9] = [1044, 1045, 1049, 1130, 1524, 1698, 1862, 3118, 4151];

/// It is about the moment: too many connections, no room or memory, shutting down, a session that was ended.
const PASSING: [u16; 9] = [1021, 1037, 1040, 1041, 1053, 1077, 1203, 1927, 3169];

fn is_one_of(error: &Error, codes: &[u16]) -> bool {
    matches!(error, Error::Server(error) if codes.contains(&error.code))
}

/// Whether the server says that there is no such thing: table, trigger, routine, event.
pub(super) fn is_absent(error: &Error) -> bool {
    is_one_of(error, &[1146, 1305, 1360, 1539])
}

/// Whether the server doesn't know how a statement is written.
pub(super) fn is_syntax(error: &Error) -> bool {
    is_one_of(error, &[1064])
}

/// Whether the session that was to be ended is not there.
pub(super) fn is_gone(error: &Error) -> bool {
    is_one_of(error, &[1094])
}

/// Whether a lock was not given, or waiting for it would never have ended.
pub(crate) fn is_contention(error: &Error) -> bool {
    is_one_of(error, &CONTENTION)
}

/// Whether a statement was cancelled.
pub(crate) fn is_cancelled(error: &Error) -> bool {
    is_one_of(error, &CANCELLED)
}

/// Whether the server can't make a change in the way that its statement asks for.
pub(crate) fn is_unsupported(error: &Error) -> bool {
    is_one_of(error, &UNSUPPORTED)
}

/// Whether the connection is gone: nothing is known of what was asked for last.
pub(crate) fn is_fatal(error: &Error) -> bool {
    error.is_fatal() || is_one_of(error, &[1053, 1927, 3169])
}

/// Whether what failed may work later.
pub(crate) fn passes(error: &Error) -> bool {
    match error {
        Error::Server(_) => is_one_of(error, &PASSING) || is_contention(error),
        Error::Io(_) | Error::Driver(DriverError::ConnectionClosed) => true,
        Error::Driver(_) | Error::Other(_) | Error::Url(_) => false,
    }
}

/// Whether a connection may be had later.
pub(crate) fn may_connect(error: &Error) -> bool {
    match error {
        Error::Server(_) => !is_one_of(error, &REFUSED),
        Error::Io(IoError::Tls(_)) => false,
        Error::Io(IoError::Io(error)) => !error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
        error => passes(error),
    }
}

/// Whether the server offers no TLS.
pub(super) fn has_no_tls(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::NoClientSslFlagFromServer))
}

/// The line, from 1, at which the server found a syntax error in `sql`: `… at line 3`, counted from where the statement begins.
pub(crate) fn place(error: &Error, sql: &str) -> Option<(usize, Option<usize>)> {
    let Error::Server(error) = error else { return None };
    if error.code != 1064 {
        return None;
    }
    let (_, line) = error.message.rsplit_once(" at line ")?;
    let above = sql.chars().take_while(|character| character.is_whitespace());
    let above = above.filter(|character| *character == '\n').count();
    Some((line.parse::<usize>().ok()? + above, None))
}

/// What the server says.
pub(crate) fn because(error: &Error) -> String {
    let Error::Server(error) = error else { return String::new() };
    format!(": {} (error {}, SQLSTATE {})", error.message, error.code, error.state)
}

#[cfg(test)]
mod tests {
    use mysql_async::ServerError;

    use super::*;

    fn server(code: u16, message: &str) -> Error {
        Error::Server(ServerError { code, message: message.to_owned(), state: "42000".to_owned() })
    }

    #[test]
    fn the_line_of_a_syntax_error_is_that_of_the_file() {
        let error = server(1064, "You have an error … near 'SELEC' at line 2");
        assert_eq!(place(&error, "\n\n\nALTER TABLE a\nSELEC"), Some((5, None)));
        assert_eq!(place(&server(1146, "at line 2"), "SELECT 1"), None);
    }

    #[test]
    fn a_login_that_is_refused_is_not_tried_again() {
        assert!(!may_connect(&server(1045, "Access denied")));
        assert!(may_connect(&server(1040, "Too many connections")));
        assert!(may_connect(&Error::Io(IoError::Io(std::io::ErrorKind::ConnectionRefused.into()))));
    }
}
