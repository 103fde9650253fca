//! The statements of a migration, and the ones that have no place in it.

use cutover_core::Engine;

use crate::token::{Token, TokenKind, tokens};

/// One statement, without the semicolon at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its tokens, at least one, and no comments.
    pub tokens: Vec<Token<'a>>,
    /// Its text, from the first token to the last.
    pub text: &'a str,
}

/// Why a statement has no place in a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// It begins or ends a transaction.
    TransactionControl,
    /// It moves data over the connection, which a file can't follow.
    CopyOverConnection,
    /// It has a comment that MySQL executes, depending on its version.
    ExecutableComment,
    /// It is a command of MySQL's client, which no server knows.
    Delimiter,
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
            &["START", "TRANSACTION"],
            &["COMMIT"],
            &["END"],
            &["ROLLBACK"],
            &["ABORT"],
            &["PREPARE", "TRANSACTION"],
        ];
        if !to_savepoint && controls.into_iter().any(begins) {
            return Some(Forbidden::TransactionControl);
        }
        if begins(&["DELIMITER"]) {
            return Some(Forbidden::Delimiter);
        }
        if self.tokens.iter().any(|token| token.kind == TokenKind::Executable) {
            return Some(Forbidden::ExecutableComment);
        }
        let over_connection = self.tokens.iter().any(|token| token.is("STDIN") || token.is("STDOUT"));
        (begins(&["COPY"]) && over_connection).then_some(Forbidden::CopyOverConnection)
    }
}

/// Splits `sql` at the semicolons that end statements. Those in parentheses (`CREATE RULE`) and in the body of a routine
/// (`BEGIN … END`) don't; the rule for the latter is psql's (`psqlscan.l`), and for MySQL's bodies also that of its
/// compound statements (manual, 15.6).
pub fn statements(sql: &str, engine: Engine) -> Vec<Statement<'_>> {
    let tokens = tokens(sql, engine).into_iter().filter(|token| token.kind != TokenKind::Comment);
    split(sql, tokens, engine)
}

/// The same of tokens that have been read.
pub(crate) fn split<'a>(
    sql: &'a str,
    tokens: impl Iterator<Item = Token<'a>>,
    engine: Engine,
) -> Vec<Statement<'a>> {
    let mut statements = Vec::new();
    let mut current: Vec<Token<'a>> = Vec::new();
    let (mut parentheses, mut bodies) = (0_usize, 0_usize);
    for token in tokens {
        if token.is_symbol(";") && parentheses == 0 && bodies == 0 {
            end(sql, &mut current, &mut statements);
            continue;
        }
        if token.is_symbol("(") {
            parentheses += 1;
        } else if token.is_symbol(")") {
            parentheses = parentheses.saturating_sub(1);
        } else if bodies > 0 || matches!(token.kind, TokenKind::Word) && has_body(&current, engine) {
            let after_end = current.last().is_some_and(|last| last.is("END"));
            if token.is("BEGIN") || token.is("CASE") && bodies > 0 && !after_end {
                bodies += 1;
            } else if token.is("END") {
                bodies = bodies.saturating_sub(1);
            } else if after_end && ["IF", "LOOP", "WHILE", "REPEAT"].into_iter().any(|word| token.is(word)) {
                // These have no BEGIN that their END would answer.
                bodies += 1;
            }
        }
        current.push(token);
    }
    end(sql, &mut current, &mut statements);
    statements
}

fn end<'a>(sql: &'a str, current: &mut Vec<Token<'a>>, statements: &mut Vec<Statement<'a>>) {
    let tokens = std::mem::take(current);
    if let (Some(first), Some(last)) = (tokens.first(), tokens.last()) {
        let text = sql.get(first.at..last.end()).unwrap_or_default();
        statements.push(Statement { tokens, text });
    }
}

/// Whether a statement that begins so may go on with a body.
fn has_body(tokens: &[Token<'_>], engine: Engine) -> bool {
    let routines: &[&str] = match engine {
        Engine::Postgresql => &["FUNCTION", "PROCEDURE"],
        Engine::Mysql | Engine::Mariadb => &["FUNCTION", "PROCEDURE", "TRIGGER", "EVENT"],
    };
    let is_routine = |token: &Token<'_>| routines.iter().any(|word| token.is(word));
    let Some((create, rest)) = tokens.split_first() else { return false };
    let mut definer = false;
    create.is("CREATE")
        && rest
            .iter()
            .take_while(|token| {
                definer |= token.is("DEFINER");
                definer
                    || ["OR", "REPLACE", "AGGREGATE"].into_iter().any(|word| token.is(word))
                    || is_routine(token)
            })
            .any(is_routine)
}

/// What stands between the commas that are in no parentheses.
pub(crate) fn listed<'a>(tokens: &'a [Token<'a>]) -> Vec<&'a [Token<'a>]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            if token.is_symbol("(") {
                depth += 1;
            } else if token.is_symbol(")") {
                depth = depth.saturating_sub(1);
            }
            depth == 0 && token.is_symbol(",")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(sql: &str) -> Vec<(usize, Forbidden)> {
        let found = statements(sql, Engine::Postgresql);
        found.iter().filter_map(|s| s.forbidden().map(|why| (s.line(), why))).collect()
    }

    fn texts(sql: &str, engine: Engine) -> Vec<&str> {
        statements(sql, engine).iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn statements_end_at_their_semicolons_only() {
        let sql = "CREATE TABLE a (b text DEFAULT ';');;\n-- c;\nDO $$ BEGIN; COMMIT; END $$;\nSELECT 1";
        let found = statements(sql, Engine::Postgresql);
        assert_eq!(found.iter().map(Statement::line).collect::<Vec<_>>(), [1, 3, 4]);
        let rule = "CREATE RULE r AS ON UPDATE TO a DO (SELECT 1; SELECT 2)";
        let sql = format!("/* rule */ {rule} ; SELECT -- three\n 3;");
        assert_eq!(texts(&sql, Engine::Postgresql), [rule, "SELECT -- three\n 3"]);
        assert!(texts(" -- nothing\n ; ;", Engine::Postgresql).is_empty());
    }

    #[test]
    fn a_body_is_part_of_its_statement() {
        let body = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3";
        assert_eq!(texts(body, Engine::Postgresql).len(), 2);
        assert_eq!(forbidden(body), []);
        let trigger = "CREATE DEFINER=`a`@`%` TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN \
                       IF NEW.b IS NULL THEN SET NEW.b = CASE WHEN true THEN 1 END; END IF; \
                       CASE WHEN true THEN SET @a = 1; END CASE; END; SELECT 1";
        assert_eq!(texts(trigger, Engine::Mysql).len(), 2);
        assert_eq!(texts("CREATE TABLE event (begin int); SELECT 1", Engine::Mysql).len(), 2);
        assert_eq!(
            texts(
                "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.b = 1; SELECT 1",
                Engine::Mariadb
            )
            .len(),
            2
        );
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

    #[test]
    fn what_only_mysql_or_its_client_would_do_is_found() {
        let found = |sql: &str| statements(sql, Engine::Mysql).first().and_then(Statement::forbidden);
        assert_eq!(found("DELIMITER //\nSELECT 1"), Some(Forbidden::Delimiter));
        assert_eq!(
            found("CREATE TABLE a (b int) /*!50100 PARTITION BY KEY () */"),
            Some(Forbidden::ExecutableComment)
        );
    }
}
