//! Rows that are brought over in batches: one statement that is run for one range of a key after the other.

use cutover_core::Engine;

use crate::header::{Headers, InvalidHeader};
use crate::statement::Statement;
use crate::token::{Token, tokens};

/// What stands in a statement for the rows of a batch.
const PLACEHOLDER: &str = ":batch";

/// Rows per batch at first, where none is given.
const BATCH: u32 = 1_000;

/// Rows per batch at first, at most: a transaction that holds more locks than this is no batch.
const MOST: u32 = 100_000;

/// What may stand behind a table's name and is no other name for it.
const NO_ALIAS: [&str; 23] = [
    "SET",
    "WHERE",
    "JOIN",
    "LEFT",
    "RIGHT",
    "INNER",
    "CROSS",
    "FULL",
    "NATURAL",
    "STRAIGHT_JOIN",
    "ON",
    "USING",
    "ORDER",
    "GROUP",
    "HAVING",
    "LIMIT",
    "FOR",
    "UNION",
    "TABLESAMPLE",
    "PARTITION",
    "FORCE",
    "USE",
    "IGNORE",
];

/// Rows that are brought over in batches along a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// The table whose rows are walked through, as written, schema included: the server resolves it.
    pub table: String,
    /// The columns of the key that it is walked along, as written. None: those of its primary key.
    pub key: Option<Vec<String>>,
    /// Rows per batch, at first.
    pub batch: u32,
    /// Whether the new version reads the rows, so that they must be there before it gets traffic.
    pub before_switch: bool,
    /// What holds for those rows of the table that are still to be brought over. In the end there is none.
    pub verify: String,
    /// What the statement calls the table: columns of the key are qualified by it.
    pub alias: String,
    /// The statement before and after the place of the range. Blank lines stand for what is above it in the file.
    around: (String, String),
}

/// Why a backfill can't be run in batches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackfill {
    /// A header is missing or wrong.
    #[error(transparent)]
    Header(#[from] InvalidHeader),
    /// There is more than one statement, or another one.
    #[error(
        "line {0}: a backfill is one UPDATE or one INSERT … SELECT; put '-- cutover: part' between two of them"
    )]
    Statement(usize),
    /// The range has no place, or several.
    #[error("line {0}: write :batch once, where the range of a batch belongs: WHERE :batch AND …")]
    Placeholder(usize),
    /// The range would not limit what the statement does.
    #[error(
        "line {0}: :batch must stand behind WHERE or AND, with no OR beside it: put what has OR into parentheses"
    )]
    Unlimited(usize),
    /// The table isn't in the statement.
    #[error("line {line}: the statement neither updates {table} nor reads from it")]
    OtherTable {
        /// The line of the statement, from 1.
        line: usize,
        /// The table.
        table: String,
    },
}

impl Backfill {
    /// Reads a backfill of its headers and its statements, whose first starts in line `line`. `sql` is the text that the
    /// statements' places are in.
    pub(crate) fn read(
        headers: &Headers<'_>,
        statements: &[Statement<'_>],
        sql: &str,
        engine: Engine,
    ) -> Result<Self, InvalidBackfill> {
        let line = statements.first().map_or(1, Statement::line);
        let missing = |key, meaning| InvalidHeader::Missing { line, key, meaning };
        let table = headers
            .value("table", "a table's name, such as users or app.users", |value| name(value, engine, true))?
            .ok_or_else(|| missing("table", "the table whose rows it walks through"))?;
        let key = headers.value("key", "one or more columns, such as id or tenant_id, id", |value| {
            value.split(',').map(|column| name(column, engine, false)).collect::<Option<Vec<_>>>()
        })?;
        let batch = headers.value("batch", "a number of rows from 1 to 100000", |value| {
            value.parse().ok().filter(|rows| (1..=MOST).contains(rows))
        })?;
        let before = headers.value("before", "switch", |value| (value == "switch").then_some(()))?;
        let verify = headers
            .value("verify", "a condition", |value| (!value.is_empty()).then(|| value.to_owned()))?
            .ok_or_else(|| missing("verify", "the condition that holds for the rows that are left"))?;

        let [statement] = statements else {
            return Err(InvalidBackfill::Statement(statements.get(1).map_or(line, Statement::line)));
        };
        if !statement.begins_with(&["UPDATE"]) && !statement.begins_with(&["INSERT"]) {
            return Err(InvalidBackfill::Statement(line));
        }
        let place = place(statement, engine)?;
        let alias = alias(statement, &table, engine)
            .ok_or_else(|| InvalidBackfill::OtherTable { line, table: table.clone() })?;
        let part = |range: std::ops::Range<usize>| sql.get(range).unwrap_or_default();
        let start = statement.tokens.first().map_or(0, |token| token.at);
        let end = statement.tokens.last().map_or(0, Token::end);
        let around = (
            "\n".repeat(line.saturating_sub(1)) + part(start..place),
            part(place + PLACEHOLDER.len()..end).to_owned(),
        );
        Ok(Self {
            table,
            key,
            batch: batch.unwrap_or(BATCH),
            before_switch: before.is_some(),
            verify,
            alias,
            around,
        })
    }

    /// The statement for the rows of which `range` is true.
    pub fn statement(&self, range: &str) -> String {
        format!("{}({range}){}", self.around.0, self.around.1)
    }
}

/// A name as it stands in SQL, in one part or, `qualified`, in several.
fn name(text: &str, engine: Engine, qualified: bool) -> Option<String> {
    let found = tokens(text.trim(), engine);
    let mut parts = found.split(|token| token.is_symbol("."));
    let single = |part: &[Token<'_>]| matches!(part, [token] if token.is_name());
    (parts.all(single) && (qualified || found.len() == 1)).then(|| text.trim().to_owned())
}

/// Where the placeholder stands, in bytes.
fn place(statement: &Statement<'_>, engine: Engine) -> Result<usize, InvalidBackfill> {
    let tokens = &statement.tokens;
    let line = statement.line();
    let is_placeholder = |(at, pair): &(usize, &[Token<'_>])| {
        let cast = at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|t| t.is_symbol(":"));
        !cast
            && matches!(pair, [colon, word] if colon.is_symbol(":") && word.text == "batch" && colon.end() == word.at)
    };
    let mut found = tokens.windows(2).enumerate().filter(is_placeholder);
    let (Some((at, [colon, _])), None) = (found.next(), found.next()) else {
        return Err(InvalidBackfill::Placeholder(line));
    };
    let (before, after) = tokens.split_at(at);
    let conjunct = before.last().is_some_and(|token| token.is("WHERE") || token.is("AND"));
    if conjunct && !beside(before.iter().rev(), "(", engine) && !beside(after.iter(), ")", engine) {
        Ok(colon.at)
    } else {
        Err(InvalidBackfill::Unlimited(colon.line))
    }
}

/// Whether there is an OR among `tokens` before the parenthesis around them ends, at `out`.
fn beside<'a>(tokens: impl Iterator<Item = &'a Token<'a>>, out: &str, engine: Engine) -> bool {
    // PostgreSQL puts texts together with it.
    let is_or = |token: &Token<'_>| {
        token.is("OR") || token.is("XOR") || !engine.is_postgresql() && token.is_symbol("|")
    };
    let back = if out == "(" { ")" } else { "(" };
    let mut depth = 0_usize;
    for token in tokens {
        if token.is_symbol(back) {
            depth += 1;
        } else if token.is_symbol(out) {
            match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            }
        } else if depth == 0 && is_or(token) {
            return true;
        }
    }
    false
}

/// What the statement calls `table`, where it updates it or reads from it.
fn alias(statement: &Statement<'_>, table: &str, engine: Engine) -> Option<String> {
    let wanted = tokens(table, engine);
    let all = &statement.tokens;
    let same = |one: &Token<'_>, other: &Token<'_>| {
        one.text == other.text || one.kind == other.kind && one.text.eq_ignore_ascii_case(other.text)
    };
    let at = (1..all.len()).find(|&at| {
        let reads = all.get(at - 1).is_some_and(|before| {
            ["UPDATE", "FROM", "JOIN", "ONLY"].into_iter().any(|word| before.is(word))
                || before.is_symbol(",")
        });
        let here = all.get(at..at + wanted.len()).unwrap_or_default();
        reads && here.len() == wanted.len() && here.iter().zip(&wanted).all(|(one, other)| same(one, other))
    })?;
    let mut behind = all.get(at + wanted.len()..)?.iter().peekable();
    let renamed = behind.next_if(|token| token.is("AS")).is_some();
    let other = behind
        .next()
        .filter(|token| token.is_name() && (renamed || !NO_ALIAS.into_iter().any(|word| token.is(word))));
    Some(other.map_or_else(|| table.to_owned(), |token| token.text.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Phase;

    use super::*;
    use crate::directive::Directive;
    use crate::statement::statements;

    fn read(headers: &[&str], sql: &str) -> Result<Backfill, InvalidBackfill> {
        let directives: Vec<Directive<'_>> =
            headers.iter().map(|text| Directive { text, line: 1, at: 0 }).collect();
        let headers = Headers::read(&directives, Phase::Backfill, 2)?;
        Backfill::read(&headers, &statements(sql, Engine::Postgresql), sql, Engine::Postgresql)
    }

    const HEADERS: [&str; 2] = ["table=app.users", "verify=email IS NULL"];

    #[test]
    fn headers_have_defaults_where_they_can() {
        let sql = "\n\nUPDATE app.users SET email = mail WHERE :batch AND email IS NULL;";
        let backfill = read(&HEADERS, sql).unwrap();
        assert_eq!((backfill.key.as_ref(), backfill.batch, backfill.before_switch), (None, 1_000, false));
        assert_eq!(
            backfill.statement("app.users.id > 7"),
            "\n\nUPDATE app.users SET email = mail WHERE (app.users.id > 7) AND email IS NULL"
        );
        let all = [&HEADERS[..], &["key = tenant_id, \"Id\"", "batch=50", "before=switch"]].concat();
        let backfill = read(&all, sql).unwrap();
        assert_eq!(backfill.key, Some(vec!["tenant_id".to_owned(), "\"Id\"".to_owned()]));
        assert_eq!((backfill.batch, backfill.before_switch), (50, true));
    }

    #[test]
    fn the_table_is_found_by_what_the_statement_calls_it() {
        let alias = |sql: &str| read(&HEADERS, sql).map(|backfill| backfill.alias);
        for (sql, name) in [
            ("UPDATE App.Users SET a = 1 WHERE :batch", "app.users"),
            ("UPDATE ONLY app.users AS u SET a = 1 WHERE :batch", "u"),
            ("UPDATE people p SET a = 1 FROM app.users u WHERE :batch", "u"),
            ("INSERT INTO people SELECT id FROM app.users WHERE :batch ON CONFLICT DO NOTHING", "app.users"),
            (
                "INSERT INTO people SELECT 1 FROM a JOIN app.users \"U\" ON true WHERE true AND :batch",
                "\"U\"",
            ),
        ] {
            assert_eq!(alias(sql), Ok(name.to_owned()), "{sql}");
        }
        for sql in
            ["UPDATE users SET a = 1 WHERE :batch", "INSERT INTO app.users SELECT 1 FROM other WHERE :batch"]
        {
            assert!(matches!(alias(sql), Err(InvalidBackfill::OtherTable { .. })), "{sql}");
        }
    }

    #[test]
    fn a_range_that_would_not_limit_is_refused() {
        let place = |sql: &str| read(&HEADERS, sql).map(drop);
        for sql in [
            "UPDATE app.users SET a = 1 WHERE x OR :batch",
            "UPDATE app.users SET a = 1 WHERE :batch AND x OR y",
            "UPDATE app.users SET a = 1 WHERE NOT :batch",
        ] {
            assert_eq!(place(sql), Err(InvalidBackfill::Unlimited(1)), "{sql}");
        }
        for sql in [
            "UPDATE app.users SET a = 1",
            "UPDATE app.users SET a = b::batch WHERE ':batch' = c",
            "UPDATE app.users SET a = 1 WHERE :batch AND :batch",
        ] {
            assert_eq!(place(sql), Err(InvalidBackfill::Placeholder(1)), "{sql}");
        }
        // It puts texts together on PostgreSQL, and is an OR elsewhere.
        let texts = "UPDATE app.users SET a = 1 WHERE :batch AND x || y = 'z'";
        assert_eq!(place(texts), Ok(()));
        let statement = &statements(texts, Engine::Mariadb)[0];
        assert_eq!(super::place(statement, Engine::Mariadb), Err(InvalidBackfill::Unlimited(1)));
        assert_eq!(place("UPDATE app.users SET a = 1 WHERE (x OR y) AND :batch AND (z OR (v))"), Ok(()));
        let within = "INSERT INTO b SELECT * FROM (SELECT * FROM app.users WHERE :batch) u WHERE a OR b";
        assert_eq!(place(within), Ok(()));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let message = |headers: &[&str], sql: &str| read(headers, sql).unwrap_err().to_string();
        let sql = "UPDATE app.users SET a = 1 WHERE :batch";
        assert!(message(&["verify=a"], sql).contains("cutover: table="));
        assert!(message(&["table=a"], sql).contains("cutover: verify="));
        for wrong in ["batch=0", "batch=100001", "batch=many", "key=a b", "key=", "key=a.b", "before=soak"] {
            assert!(message(&[&HEADERS[..], &[wrong]].concat(), sql).contains("expected"), "{wrong}");
        }
        assert!(message(&["table=a b", "verify=c"], sql).contains("a table's name"));
        for sql in ["DELETE FROM app.users WHERE :batch", "UPDATE app.users SET a = 1 WHERE :batch; SELECT 1"]
        {
            assert!(message(&HEADERS, sql).contains("one UPDATE or one INSERT"), "{sql}");
        }
    }
}
