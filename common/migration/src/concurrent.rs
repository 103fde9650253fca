//! What PostgreSQL does concurrently, outside of transactions, and can be found again in its catalog after a kill.

use std::iter::Peekable;
use std::slice::Iter;

use crate::statement::Statement;
use crate::token::{Token, TokenKind};

/// The index that a `CREATE INDEX CONCURRENTLY` makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrentIndex {
    /// Its name as the catalog has it: folded to lower case where it isn't quoted.
    pub name: String,
    /// Its table as written, schema included: the server resolves it.
    pub table: String,
}

/// The index that a `DROP INDEX CONCURRENTLY` removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedIndex {
    /// Its name as written, schema included: the server resolves it.
    pub name: String,
}

/// What a `REINDEX … CONCURRENTLY` builds again. A killed one leaves invalid indexes beside the old ones, whose names end
/// in `_ccnew` (manual, REINDEX).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reindexed {
    /// One index, by its name as written.
    Index(String),
    /// All indexes of a table, by its name as written.
    Table(String),
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
        Some(Self { name, table: qualified(&mut tokens)? })
    }
}

impl DroppedIndex {
    /// Reads `DROP INDEX CONCURRENTLY [IF EXISTS] name [CASCADE | RESTRICT]`; the server takes no second name.
    pub fn read(statement: &Statement<'_>) -> Option<Self> {
        let mut tokens = statement.tokens.iter().peekable();
        let begins = ["DROP", "INDEX", "CONCURRENTLY"].into_iter().all(|word| keyword(&mut tokens, word));
        if !begins || keyword(&mut tokens, "IF") && !keyword(&mut tokens, "EXISTS") {
            return None;
        }
        let name = qualified(&mut tokens)?;
        let _ = keyword(&mut tokens, "CASCADE") || keyword(&mut tokens, "RESTRICT");
        tokens.next().is_none().then_some(Self { name })
    }
}

impl Reindexed {
    /// Reads `REINDEX {INDEX | TABLE} CONCURRENTLY name`; a schema or a database can't be found again.
    pub fn read(statement: &Statement<'_>) -> Option<Self> {
        let mut tokens = statement.tokens.iter().peekable();
        if !keyword(&mut tokens, "REINDEX") {
            return None;
        }
        let of: fn(String) -> Self = if keyword(&mut tokens, "INDEX") {
            Self::Index
        } else if keyword(&mut tokens, "TABLE") {
            Self::Table
        } else {
            return None;
        };
        if !keyword(&mut tokens, "CONCURRENTLY") {
            return None;
        }
        let name = qualified(&mut tokens)?;
        tokens.next().is_none().then(|| of(name))
    }
}

/// Takes the keyword `word`, if it is next.
fn keyword(tokens: &mut Peekable<Iter<'_, Token<'_>>>, word: &str) -> bool {
    tokens.next_if(|token| token.is(word)).is_some()
}

/// A name with its schema, as written.
fn qualified(tokens: &mut Peekable<Iter<'_, Token<'_>>>) -> Option<String> {
    let mut name = String::new();
    loop {
        name.push_str(tokens.next().filter(|token| token.is_name())?.text);
        if tokens.next_if(|token| token.is_symbol(".")).is_none() {
            return Some(name);
        }
        name.push('.');
    }
}

/// The name that an identifier stands for (manual, 4.1.1).
fn identifier(token: &Token<'_>) -> Option<String> {
    match token.kind {
        TokenKind::Word => Some(token.text.to_ascii_lowercase()),
        TokenKind::Quoted => Some(token.text.strip_prefix('"')?.strip_suffix('"')?.replace("\"\"", "\"")),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Engine;

    use super::*;
    use crate::statement::statements;

    fn read<T>(sql: &str, read: impl Fn(&Statement<'_>) -> Option<T>) -> Option<T> {
        read(statements(sql, Engine::Postgresql).first().unwrap())
    }

    #[test]
    fn what_is_made_is_read() {
        let index = |name: &str, table: &str| {
            Some(ConcurrentIndex { name: name.to_owned(), table: table.to_owned() })
        };
        let read = |sql| read(sql, ConcurrentIndex::read);
        assert_eq!(read("create index concurrently By_Name on Posts (name)"), index("by_name", "Posts"));
        assert_eq!(
            read(
                "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"By \"\"X\" ON ONLY app.\"Posts\" USING btree (x)"
            ),
            index("By \"X", "app.\"Posts\"")
        );
        for sql in
            ["CREATE INDEX a ON b (c)", "CREATE INDEX CONCURRENTLY ON b (c)", "DROP INDEX CONCURRENTLY a"]
        {
            assert_eq!(read(sql), None, "{sql}");
        }
    }

    #[test]
    fn what_is_removed_is_read() {
        let read = |sql| read(sql, DroppedIndex::read).map(|index| index.name);
        assert_eq!(read("drop index concurrently if exists app.\"A\" cascade"), Some("app.\"A\"".to_owned()));
        for sql in ["DROP INDEX a", "DROP INDEX CONCURRENTLY a, b", "DROP TABLE a"] {
            assert_eq!(read(sql), None, "{sql}");
        }
    }

    #[test]
    fn what_is_built_again_is_read() {
        let read = |sql| read(sql, Reindexed::read);
        assert_eq!(
            read("REINDEX TABLE CONCURRENTLY app.posts"),
            Some(Reindexed::Table("app.posts".to_owned()))
        );
        assert_eq!(read("reindex index concurrently a"), Some(Reindexed::Index("a".to_owned())));
        for sql in ["REINDEX TABLE a", "REINDEX SCHEMA CONCURRENTLY a", "REINDEX SYSTEM b"] {
            assert_eq!(read(sql), None, "{sql}");
        }
    }
}
