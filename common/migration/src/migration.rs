//! A migration: what runs at once, with one row in the ledger; read from a file, and found fit to run.

use cutover_core::{Digest, Engine, MigrationFile, Phase};

use crate::backfill::{Backfill, InvalidBackfill};
use crate::concurrent::{ConcurrentIndex, DroppedIndex, Reindexed};
use crate::directive::Directive;
use crate::header::{Headers, InvalidHeader};
use crate::lint::Allow;
use crate::setting::unfit;
use crate::statement::{Forbidden, Statement, split};
use crate::token::{Token, TokenKind, tokens};
use crate::{InvalidMigration, Version};

/// A migration that can be run, or one part of it. A file is one part, or several between which `-- cutover: part` stands;
/// for MySQL and MariaDB each statement is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    version: Version,
    name: String,
    phase: Phase,
    part: usize,
    title: String,
    sql: String,
    checksum: String,
    lines: Vec<usize>,
    kind: Kind,
}

/// How a migration runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of it and its ledger row in one transaction.
    Transaction,
    /// Outside a transaction: one statement, which makes this index.
    Index(ConcurrentIndex),
    /// Outside a transaction: one statement, which removes this index.
    DropIndex(DroppedIndex),
    /// Outside a transaction: one statement, which builds this again.
    Reindex(Reindexed),
    /// One statement after which MySQL or MariaDB commits by itself.
    Definition,
    /// In batches.
    Backfill(Box<Backfill>),
}

impl Migration {
    /// Reads a file, `file` as the release pins it, and the content that it names: its parts in order, at least one.
    ///
    /// # Errors
    /// When the content isn't the pinned one, or can't be run safely; see [`InvalidMigration`].
    pub fn read(file: &MigrationFile, sql: &str, engine: Engine) -> Result<Vec<Self>, InvalidMigration> {
        let title = file.title();
        let version = file
            .version
            .parse()
            .map_err(|source| InvalidMigration::Version { file: title.clone(), source })?;
        let found = Digest::of(sql.as_bytes());
        if found != file.content {
            return Err(InvalidMigration::Content { file: title, found, pinned: file.content.clone() });
        }
        let checksum = file.declared.as_ref().unwrap_or(&found).hex().to_owned();
        let reader = Reader { file: &title, phase: file.phase, engine };
        let parts = reader.parts(sql)?;
        let several = parts.len() > 1;
        let part = |(part, examined): (usize, Examined)| Self {
            version,
            name: file.name.clone(),
            phase: file.phase,
            part,
            title: if several { format!("{title} (part {part})") } else { title.clone() },
            sql: examined.sql,
            checksum: checksum.clone(),
            lines: examined.lines,
            kind: examined.kind,
        };
        Ok((1..).zip(parts).map(part).collect())
    }

    /// What it is ordered by, after its phase.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its name without the version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it runs.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Which part of its file it is, from 1.
    pub fn part(&self) -> usize {
        self.part
    }

    /// Its file's name, for people, and its part where there are several.
    pub fn file(&self) -> &str {
        &self.title
    }

    /// The SHA-256, in 64 hex digits, of what must not change once it was applied: the content of its file, or the
    /// declaration that it was written from.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Its SQL as written. Blank lines stand for what is above it in the file, so that its lines are those of the file.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The lines that its statements start in, from 1.
    pub fn lines(&self) -> &[usize] {
        &self.lines
    }

    /// How it runs.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }
}

/// A part of a file that was found fit to run.
struct Examined {
    sql: String,
    lines: Vec<usize>,
    kind: Kind,
}

/// Reads one file.
struct Reader<'a> {
    file: &'a str,
    phase: Phase,
    engine: Engine,
}

impl Reader<'_> {
    fn parts(&self, sql: &str) -> Result<Vec<Examined>, InvalidMigration> {
        let all = tokens(sql, self.engine);
        let is_end = |token: &Token<'_>| Directive::of(token).is_some_and(|directive| directive.is_part());
        if all.iter().all(|token| token.kind == TokenKind::Comment) {
            return Err(InvalidMigration::Empty(self.file.to_owned()));
        }
        let mut begins = 1;
        let mut examined = Vec::new();
        let mut rest = all.as_slice();
        loop {
            let length = rest.iter().position(is_end).unwrap_or(rest.len());
            let (part, more) = rest.split_at(length);
            examined.extend(self.part(sql, part, begins)?);
            let Some((separator, more)) = more.split_first() else { break };
            (begins, rest) = (separator.line, more);
        }
        let before =
            |part: &Examined| matches!(&part.kind, Kind::Backfill(backfill) if backfill.before_switch);
        let first = examined.first().is_some_and(before);
        match examined.iter().find(|part| before(part) != first) {
            Some(torn) => Err(InvalidMigration::Torn {
                file: self.file.to_owned(),
                line: torn.lines.first().copied().unwrap_or(1),
            }),
            None => Ok(examined),
        }
    }

    /// What a part of the file is, whose line is `begins`: one to be run, or, where each statement is one, several.
    fn part(
        &self,
        sql: &str,
        tokens: &[Token<'_>],
        begins: usize,
    ) -> Result<Vec<Examined>, InvalidMigration> {
        // An override is for the lint.
        let directives = tokens.iter().filter_map(Directive::of);
        let directives: Vec<Directive<'_>> =
            directives.filter(|directive| !Allow::is_meant(directive)).collect();
        let code = tokens.iter().filter(|token| token.kind != TokenKind::Comment).copied();
        let statements = split(sql, code, self.engine);
        let Some(first) = statements.first() else {
            return Err(InvalidMigration::EmptyPart { file: self.file.to_owned(), line: begins });
        };
        let headers =
            Headers::read(&directives, self.phase, first.line()).map_err(|source| self.header(source))?;
        for statement in &statements {
            self.refuse(statement)?;
        }
        if self.phase == Phase::Backfill {
            let backfill = Backfill::read(&headers, &statements, sql, self.engine);
            let kind = Kind::Backfill(Box::new(backfill.map_err(|source| self.backfill(source))?));
            return Ok(vec![examined(sql, &statements, kind)]);
        }
        if !self.engine.is_postgresql() {
            if let Some(line) = headers.line_of("transaction") {
                let (file, engine) = (self.file.to_owned(), self.engine);
                return Err(InvalidMigration::NoTransactions { file, line, engine });
            }
            let alone = |statement| examined(sql, std::slice::from_ref(statement), commits(statement));
            return Ok(statements.iter().map(alone).collect());
        }
        let kind = if headers.transaction().map_err(|source| self.header(source))? {
            if let Some(concurrent) = statements.iter().find(|statement| is_concurrent(statement)) {
                let (file, line) = (self.file.to_owned(), concurrent.line());
                return Err(InvalidMigration::InTransaction { file, line });
            }
            Kind::Transaction
        } else {
            self.outside(&statements)?
        };
        Ok(vec![examined(sql, &statements, kind)])
    }

    fn refuse(&self, statement: &Statement<'_>) -> Result<(), InvalidMigration> {
        let (file, line) = (self.file.to_owned(), statement.line());
        if let Some(what) = unfit(statement).filter(|_| !self.engine.is_postgresql()) {
            return Err(InvalidMigration::Setting { file, line, what });
        }
        Err(match statement.forbidden() {
            None => return Ok(()),
            Some(Forbidden::TransactionControl) => InvalidMigration::TransactionControl { file, line },
            Some(Forbidden::CopyOverConnection) => InvalidMigration::CopyOverConnection { file, line },
            Some(Forbidden::ExecutableComment) => InvalidMigration::ExecutableComment { file, line },
            Some(Forbidden::Delimiter) => InvalidMigration::Delimiter { file, line },
        })
    }

    /// What a part is that runs outside a transaction.
    fn outside(&self, statements: &[Statement<'_>]) -> Result<Kind, InvalidMigration> {
        let line = statements.get(1).or(statements.first()).map_or(1, Statement::line);
        let kind = match statements {
            [only] => ConcurrentIndex::read(only)
                .map(Kind::Index)
                .or_else(|| DroppedIndex::read(only).map(Kind::DropIndex))
                .or_else(|| Reindexed::read(only).map(Kind::Reindex)),
            _ => None,
        };
        kind.ok_or_else(|| InvalidMigration::OutsideTransaction { file: self.file.to_owned(), line })
    }

    fn header(&self, source: InvalidHeader) -> InvalidMigration {
        InvalidMigration::Header { file: self.file.to_owned(), source }
    }

    fn backfill(&self, source: InvalidBackfill) -> InvalidMigration {
        match source {
            InvalidBackfill::Header(source) => self.header(source),
            source => InvalidMigration::Backfill { file: self.file.to_owned(), source },
        }
    }
}

fn examined(sql: &str, statements: &[Statement<'_>], kind: Kind) -> Examined {
    let start = statements.first().and_then(|statement| statement.tokens.first());
    let end = statements.last().and_then(|statement| statement.tokens.last());
    let (from, to) = (start.map_or(0, |token| token.at), end.map_or(sql.len(), Token::end));
    // The column of the first statement counts too.
    let from = sql.get(..from).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let above = start.map_or(0, |token| token.line.saturating_sub(1));
    Examined {
        sql: "\n".repeat(above) + sql.get(from..to).unwrap_or_default(),
        lines: statements.iter().map(Statement::line).collect(),
        kind,
    }
}

/// Whether a statement of PostgreSQL can't be in a transaction because it says CONCURRENTLY.
fn is_concurrent(statement: &Statement<'_>) -> bool {
    [
        &["CREATE", "INDEX", "CONCURRENTLY"][..],
        &["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY"],
        &["DROP", "INDEX", "CONCURRENTLY"],
    ]
    .into_iter()
    .any(|words| statement.begins_with(words))
        || statement.begins_with(&["REINDEX"])
            && statement.tokens.iter().any(|token| token.is("CONCURRENTLY"))
}

/// How MySQL runs a statement: whatever it does to rows is in a transaction, and after all else it commits by itself
/// (manual, 15.3.3).
fn commits(statement: &Statement<'_>) -> Kind {
    if statement.begins_with(&["SET", "STATEMENT"]) {
        return Kind::Definition;
    }
    let rows = ["INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH", "SET", "DO"];
    if rows.into_iter().any(|word| statement.begins_with(&[word])) {
        Kind::Transaction
    } else {
        Kind::Definition
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
