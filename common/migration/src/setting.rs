//! What MySQL's and MariaDB's SET leaves in the session.

use cutover_core::Engine;

use crate::statement::{Statement, listed, statements};
use crate::token::Token;

/// What would hold for the ledger, too, and keep it from the replicas.
const LOG: &str = "sql_log_bin";

/// The variables that the SETs among the statements of `sql` set for the session: each can be set back to its default.
pub fn settings(sql: &str) -> Vec<String> {
    let statements = statements(sql, Engine::Mysql);
    statements.iter().filter(|statement| is_set(statement)).flat_map(variables).collect()
}

/// What a statement sets that no statement after it could do without, or set back: a word for it.
pub(crate) fn unfit(statement: &Statement<'_>) -> Option<&'static str> {
    if !is_set(statement) {
        return None;
    }
    if statement.begins_with(&["SET", "ROLE"]) {
        return Some("a role");
    }
    variables(statement).iter().any(|variable| variable.eq_ignore_ascii_case(LOG)).then_some(LOG)
}

fn is_set(statement: &Statement<'_>) -> bool {
    statement.begins_with(&["SET"]) && !statement.begins_with(&["SET", "STATEMENT"])
}

fn variables(statement: &Statement<'_>) -> Vec<String> {
    let assignments = listed(statement.tokens.get(1..).unwrap_or_default());
    // Whose variables they are is said once for all that follow.
    let mut global = false;
    assignments.into_iter().filter_map(|tokens| variable(tokens, &mut global)).collect()
}

/// The session's variable that one assignment sets, if it is one.
fn variable(assignment: &[Token<'_>], global: &mut bool) -> Option<String> {
    let end = assignment.iter().position(|token| token.is_symbol("=") || token.is_symbol(":"))?;
    let (target, _) = assignment.split_at(end);
    let is = |words: &[&str]| words.iter().any(|word| target.iter().any(|token| token.is(word)));
    let at = target.iter().take_while(|token| token.is_symbol("@")).count();
    if at == 1 {
        // The user's own.
        return None;
    }
    if is(&["GLOBAL", "PERSIST", "PERSIST_ONLY"]) {
        *global |= at == 0;
        return None;
    }
    if is(&["SESSION", "LOCAL"]) {
        *global &= at > 0;
    } else if *global && at == 0 {
        return None;
    }
    target.last().filter(|token| token.is_name()).map(|token| token.text.trim_matches('`').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_for_the_session_is_known_by_its_name() {
        for (sql, expected) in [
            ("SET foreign_key_checks = 0, SESSION sql_mode = 'a,b'", &["foreign_key_checks", "sql_mode"][..]),
            (
                "set @@session.time_zone := '+05:00', @@sort_buffer_size = IF(1, 2, 3)",
                &["time_zone", "sort_buffer_size"],
            ),
            ("SET LOCAL `group_concat_max_len` = 5; SET a = 1", &["group_concat_max_len", "a"]),
            (
                "SET @x = 1, GLOBAL max_connections = 5, net_read_timeout = 2, @@persist.a = 1, SESSION b = 2",
                &["b"],
            ),
            ("SET @@global.a = 1, c = 2", &["c"]),
            ("SET NAMES latin1; SET TRANSACTION READ ONLY", &[]),
            ("SET STATEMENT a = 1 FOR SELECT 1; UPDATE t SET a = 1", &[]),
        ] {
            assert_eq!(settings(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_the_ledger_could_not_do_without_is_named() {
        let unfit = |sql: &str| statements(sql, Engine::Mariadb).first().and_then(unfit);
        assert_eq!(unfit("SET a = 1, @@session.SQL_LOG_BIN = 0"), Some(LOG));
        assert_eq!(unfit("SET ROLE admin"), Some("a role"));
        for sql in ["SET sql_mode = 'sql_log_bin'", "SET @sql_log_bin = 0", "SET DEFAULT ROLE a TO b", "DO 1"]
        {
            assert_eq!(unfit(sql), None, "{sql}");
        }
    }
}
