//! `CREATE INDEX CONCURRENTLY`: the one statement that runs outside a transaction, and what it makes.

use std::iter::Peekable;
use std::slice::Iter;

use crate::statement::Statement;
use crate::token::{Token, TokenKind};

/// The index that a statement makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrentIndex {
    /// Its name as the catalog has it: folded to lower case where it isn't quoted.
    pub name: String,
    /// Its table as written, schema included: the server resolves it.
    pub table: String,
}

impl ConcurrentIndex {
    /// Reads `CREATE [UNIQUE] INDEX CONCURRENTLY [IF NOT EXISTS] name ON [ONLY] table`; nothing else. An index without a
    /// name is none: it couldn't be found again.
    pub fn read(statement: &Statement<'_>) -> Option<Self> {
        let mut tokens = statement.tokens.iter().peekable();
        if !keyword(&mut tokens, "CREATE") {
            return None;
        }
        keyword(&mut tokens, "UNIQUE");
        if !keyword(&mut tokens, "INDEX") || !keyword(&mut tokens, "CONCURRENTLY") {
            return None;
        }
        if keyword(&mut tokens, "IF") && !(keyword(&mut tokens, "NOT") && keyword(&mut tokens, "EXISTS")) {
            return None;
        }
        let name = tokens.next_if(|token| !token.is("ON")).and_then(identifier)?;
        if !keyword(&mut tokens, "ON") {
            return None;
        }
        keyword(&mut tokens, "ONLY");
        let mut table = String::new();
        loop {
            let token =
                tokens.next().filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted))?;
            table.push_str(token.text);
            if tokens.next_if(|token| token.is_symbol(".")).is_none() {
                return Some(Self { name, table });
            }
            table.push('.');
        }
    }
}

/// Takes the keyword `word`, if it is next.
fn keyword(tokens: &mut Peekable<Iter<'_, Token<'_>>>, word: &str) -> bool {
    tokens.next_if(|token| token.is(word)).is_some()
}

/// The name that an identifier stands for (manual, 4.1.1).
fn identifier(token: &Token<'_>) -> Option<String> {
    match token.kind {
        TokenKind::Word => Some(token.text.to_ascii_lowercase()),
        TokenKind::Quoted => Some(token.text.strip_prefix('"')?.strip_suffix('"')?.replace("\"\"", "\"")),
        TokenKind::Text | TokenKind::Symbol => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::statements;

    fn read(sql: &str) -> Option<(String, String)> {
        let index = ConcurrentIndex::read(statements(sql).first()?)?;
        Some((index.name, index.table))
    }

    #[test]
    fn name_and_table_are_read() {
        let index = |name: &str, table: &str| Some((name.to_owned(), table.to_owned()));
        assert_eq!(read("create index concurrently By_Name on Posts (name)"), index("by_name", "Posts"));
        assert_eq!(
            read(
                "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"By \"\"X\" ON ONLY app.\"Posts\" USING btree (x)"
            ),
            index("By \"X", "app.\"Posts\"")
        );
    }

    #[test]
    fn nothing_else_is_one() {
        for sql in [
            "CREATE INDEX a ON b (c)",
            "CREATE INDEX CONCURRENTLY ON b (c)",
            "DROP INDEX CONCURRENTLY a",
            "REINDEX INDEX CONCURRENTLY a",
            "VACUUM a",
        ] {
            assert_eq!(read(sql), None, "{sql}");
        }
    }
}
