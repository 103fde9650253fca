//! A migration: a file of SQL that has been read and found fit to run.

use cutover_core::{Digest, MigrationFile};

use crate::header::{Header, InvalidHeader};
use crate::index::ConcurrentIndex;
use crate::statement::{Forbidden, statements};
use crate::{InvalidVersion, Version};

/// A migration that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    version: Version,
    name: String,
    file: String,
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
}

/// A file that is no migration. Every message names the file, and the line where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMigration {
    /// The version can't be read.
    #[error("migration {file}")]
    Version {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: InvalidVersion,
    },
    /// Its content isn't what the release pins.
    #[error(
        "migration {file}: its content is {found}, the release pins {pinned}; deploy again to pin what is there now"
    )]
    Content {
        /// The file.
        file: String,
        /// The digest of what was read.
        found: Digest,
        /// The digest that the release names.
        pinned: Digest,
    },
    /// A header can't be used.
    #[error("migration {file}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: InvalidHeader,
    },
    /// It begins or ends a transaction.
    #[error(
        "migration {file}, line {line}: remove this transaction control; each migration runs in a transaction of its own, with its entry in the ledger"
    )]
    TransactionControl {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// It copies over the connection.
    #[error(
        "migration {file}, line {line}: COPY over the connection has no data to read in a migration; write INSERT, or COPY from a file of the server"
    )]
    CopyOverConnection {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// It has no statement.
    #[error("migration {0}: there is no statement in it")]
    Empty(String),
    /// It asks to run outside a transaction and isn't what may.
    #[error(
        "migration {file}, line {line}: with transaction=off a file holds one named CREATE INDEX CONCURRENTLY and nothing else, so that a killed one can be found and made again"
    )]
    OutsideTransaction {
        /// The file.
        file: String,
        /// The line of the first statement that may not, from 1.
        line: usize,
    },
    /// It needs to run outside a transaction and doesn't say so.
    #[error(
        "migration {file}, line {line}: CREATE INDEX CONCURRENTLY can't run in a transaction; move it to a file of its own that begins with '-- cutover: transaction=off'"
    )]
    InTransaction {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// Another file has the same version.
    #[error("migrations {first} and {second} have the same version; rename one")]
    SameVersion {
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
}

impl Migration {
    /// Reads a migration: `file` as the release pins it, and the content that it names.
    ///
    /// # Errors
    /// When the content isn't the pinned one, or can't be run safely; see [`InvalidMigration`].
    pub fn read(file: &MigrationFile, sql: String) -> Result<Self, InvalidMigration> {
        let name = format!("{}_{}", file.version, file.name);
        let version = file
            .version
            .parse()
            .map_err(|source| InvalidMigration::Version { file: name.clone(), source })?;
        let found = Digest::of(sql.as_bytes());
        if found != file.content {
            return Err(InvalidMigration::Content { file: name, found, pinned: file.content.clone() });
        }
        let (lines, kind) = examine(&name, &sql)?;
        let checksum = found.hex().to_owned();
        Ok(Self { version, name: file.name.clone(), file: name, sql, checksum, lines, kind })
    }

    /// What it is ordered by.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its name without the version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file's name, for people.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The SHA-256 of its content in 64 hex digits.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Its SQL as written.
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

fn examine(file: &str, sql: &str) -> Result<(Vec<usize>, Kind), InvalidMigration> {
    let file = || file.to_owned();
    let statements = statements(sql);
    let Some(first) = statements.first() else { return Err(InvalidMigration::Empty(file())) };
    let header = Header::read(sql, first.line())
        .map_err(|source| InvalidMigration::Header { file: file(), source })?;
    for statement in &statements {
        let line = statement.line();
        match statement.forbidden() {
            Some(Forbidden::TransactionControl) => {
                return Err(InvalidMigration::TransactionControl { file: file(), line });
            }
            Some(Forbidden::CopyOverConnection) => {
                return Err(InvalidMigration::CopyOverConnection { file: file(), line });
            }
            None => {}
        }
        let concurrent = statement.begins_with(&["CREATE", "INDEX", "CONCURRENTLY"])
            || statement.begins_with(&["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY"]);
        if header.transaction && concurrent {
            return Err(InvalidMigration::InTransaction { file: file(), line });
        }
    }
    let kind = if header.transaction {
        Kind::Transaction
    } else {
        let outside = |line| InvalidMigration::OutsideTransaction { file: file(), line };
        if let Some(second) = statements.get(1) {
            return Err(outside(second.line()));
        }
        Kind::Index(ConcurrentIndex::read(first).ok_or_else(|| outside(first.line()))?)
    };
    Ok((statements.iter().map(|statement| statement.line()).collect(), kind))
}

/// Migrations in the order of their versions, each version once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrations(Vec<Migration>);

impl Migrations {
    /// Puts `migrations` in order.
    ///
    /// # Errors
    /// When two have the same version.
    pub fn new(mut migrations: Vec<Migration>) -> Result<Self, InvalidMigration> {
        migrations.sort_by_key(Migration::version);
        for pair in migrations.windows(2) {
            if let [first, second] = pair
                && first.version == second.version
            {
                return Err(InvalidMigration::SameVersion {
                    first: first.file.clone(),
                    second: second.file.clone(),
                });
            }
        }
        Ok(Self(migrations))
    }

    /// The migrations, lowest version first.
    pub fn iter(&self) -> std::slice::Iter<'_, Migration> {
        self.0.iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(version: &str, sql: &str) -> Result<Migration, InvalidMigration> {
        let content = Digest::of(sql.as_bytes());
        Migration::read(&MigrationFile::expand(version, "change", content), sql.to_owned())
    }

    #[test]
    fn a_file_that_can_not_be_run_safely_is_refused_with_its_line() {
        let line_2 = |sql: &str| {
            let message = read("1", sql).unwrap_err().to_string();
            assert!(message.contains("1_change, line 2"), "{message}");
        };
        line_2("SELECT 1;\nCOMMIT;");
        line_2("SELECT 1;\nCOPY a FROM STDIN;");
        line_2("SELECT 1;\nCREATE UNIQUE INDEX CONCURRENTLY a ON b (c);");
        line_2("-- cutover: transaction=off\nVACUUM a;");
        assert!(matches!(read("1", "-- nothing"), Err(InvalidMigration::Empty(_))));
        assert!(matches!(read("one", "SELECT 1"), Err(InvalidMigration::Version { .. })));
    }

    #[test]
    fn other_content_than_the_pinned_one_is_refused() {
        let file = MigrationFile::expand("1", "a", Digest::of(b"SELECT 1"));
        assert!(matches!(
            Migration::read(&file, "SELECT 2".to_owned()),
            Err(InvalidMigration::Content { .. })
        ));
    }

    #[test]
    fn migrations_are_ordered_by_number() {
        let read = |version| read(version, "SELECT 1").unwrap();
        let ordered = Migrations::new(vec![read("10"), read("9"), read("011")]).unwrap();
        assert_eq!(
            ordered.iter().map(Migration::file).collect::<Vec<_>>(),
            ["9_change", "10_change", "011_change"]
        );
        let same = Migrations::new(vec![read("1"), read("001")]);
        assert!(matches!(same, Err(InvalidMigration::SameVersion { .. })));
    }
}
