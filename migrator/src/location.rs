//! Where a statement stands.

use std::fmt;

use cutover_migration::Migration;

use crate::Fault;

/// Where a statement stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The migration's file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1, where the server gave it.
    pub column: Option<usize>,
}

impl Location {
    /// Where in `migration` the server found `fault`, after `completed` statements of it had succeeded.
    pub(crate) fn of(migration: &Migration, completed: usize, fault: &Fault) -> Self {
        if let Some((line, column)) = fault.place(migration.sql()) {
            return Self { file: migration.file().to_owned(), line, column };
        }
        let lines = migration.lines();
        let line = lines.get(completed).or(lines.last()).copied().unwrap_or(1);
        Self { file: migration.file().to_owned(), line, column: None }
    }

    /// The same in `sql`, which was made of the one statement of `migration` and has its lines, but not its columns.
    pub(crate) fn within(migration: &Migration, sql: &str, fault: &Fault) -> Self {
        match fault.place(sql) {
            Some((line, _)) => Self { file: migration.file().to_owned(), line, column: None },
            None => Self::of(migration, 0, fault),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "migration {}, line {}", self.file, self.line)?;
        self.column.map_or(Ok(()), |column| write!(f, ", column {column}"))
    }
}
