//! The statements of a migration, and the ones that have no place in it.

use crate::token::{Token, tokens};

/// One statement, without the semicolon at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its tokens, at least one.
    pub tokens: Vec<Token<'a>>,
}

/// Why a statement has no place in a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// It begins or ends a transaction.
    TransactionControl,
    /// It moves data over the connection, which a file can't follow.
    CopyOverConnection,
}

impl<'a> Statement<'a> {
    /// The line that it starts in, from 1.
    pub fn line(&self) -> usize {
        self.tokens.first().map_or(1, |token| token.line)
    }

    /// Whether it begins with these keywords.
    pub fn begins_with(&self, words: &[&str]) -> bool {
        self.tokens.len() >= words.len() && self.tokens.iter().zip(words).all(|(token, word)| token.is(word))
    }

    /// Why it has no place in a migration, if so. Savepoints have: they end with the transaction.
    pub fn forbidden(&self) -> Option<Forbidden> {
        let begins = |words: &[&str]| self.begins_with(words);
        let to_savepoint = begins(&["ROLLBACK", "TO"])
            || begins(&["ROLLBACK", "WORK", "TO"])
            || begins(&["ROLLBACK", "TRANSACTION", "TO"]);
        let controls = [
            &["BEGIN"][..],
            &["START"],
            &["COMMIT"],
            &["END"],
            &["ROLLBACK"],
            &["ABORT"],
            &["PREPARE", "TRANSACTION"],
        ];
        if !to_savepoint && controls.into_iter().any(begins) {
            return Some(Forbidden::TransactionControl);
        }
        let over_connection = self.tokens.iter().any(|token| token.is("STDIN") || token.is("STDOUT"));
        (begins(&["COPY"]) && over_connection).then_some(Forbidden::CopyOverConnection)
    }
}

/// Splits `sql` at the semicolons that end statements. Those in parentheses (`CREATE RULE`) and in the body of a
/// function in standard SQL (`BEGIN ATOMIC … END`) don't; the rule for the latter is psql's (`psqlscan.l`).
pub fn statements(sql: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let mut tokens_of_statement = Vec::new();
    let (mut parentheses, mut bodies) = (0_usize, 0_usize);
    for token in tokens(sql) {
        if token.is_symbol(";") && parentheses == 0 && bodies == 0 {
            let tokens = std::mem::take(&mut tokens_of_statement);
            if !tokens.is_empty() {
                statements.push(Statement { tokens });
            }
            continue;
        }
        if token.is_symbol("(") {
            parentheses += 1;
        } else if token.is_symbol(")") {
            parentheses = parentheses.saturating_sub(1);
        } else if defines_routine(&tokens_of_statement) {
            if token.is("BEGIN") || token.is("CASE") && bodies > 0 {
                bodies += 1;
            } else if token.is("END") {
                bodies = bodies.saturating_sub(1);
            }
        }
        tokens_of_statement.push(token);
    }
    if !tokens_of_statement.is_empty() {
        statements.push(Statement { tokens: tokens_of_statement });
    }
    statements
}

fn defines_routine(tokens: &[Token<'_>]) -> bool {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    let what = if is(1, "OR") && is(2, "REPLACE") { 3 } else { 1 };
    is(0, "CREATE") && (is(what, "FUNCTION") || is(what, "PROCEDURE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(sql: &str) -> Vec<(usize, Forbidden)> {
        statements(sql).iter().filter_map(|s| s.forbidden().map(|why| (s.line(), why))).collect()
    }

    #[test]
    fn statements_end_at_their_semicolons_only() {
        let sql = "CREATE TABLE a (b text DEFAULT ';');;\n-- c;\nDO $$ BEGIN; COMMIT; END $$;\nSELECT 1";
        let found = statements(sql);
        assert_eq!(found.iter().map(Statement::line).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(statements("CREATE RULE r AS ON UPDATE TO a DO (SELECT 1; SELECT 2); SELECT 3").len(), 2);
        assert_eq!(statements(" -- nothing\n ; ;").len(), 0);
    }

    #[test]
    fn a_body_in_standard_sql_is_one_statement() {
        let body = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3";
        assert_eq!(statements(body).len(), 2);
        assert_eq!(forbidden(body), []);
    }

    #[test]
    fn transaction_control_is_found_with_its_line() {
        assert_eq!(forbidden("SELECT 1;\n\nCOMMIT;"), [(3, Forbidden::TransactionControl)]);
        for sql in ["begin", "START TRANSACTION", "end", "ROLLBACK", "abort work", "PREPARE TRANSACTION 'x'"]
        {
            assert_eq!(forbidden(sql), [(1, Forbidden::TransactionControl)], "{sql}");
        }
        for sql in [
            "SAVEPOINT a",
            "ROLLBACK TO a",
            "RELEASE a",
            "PREPARE q AS SELECT 1",
            "SELECT 'COMMIT'",
            "-- COMMIT",
        ] {
            assert_eq!(forbidden(sql), [], "{sql}");
        }
    }

    #[test]
    fn copying_over_the_connection_is_found() {
        assert_eq!(forbidden("COPY a FROM stdin"), [(1, Forbidden::CopyOverConnection)]);
        assert_eq!(forbidden("COPY a FROM '/etc/stdin'"), []);
    }
}
