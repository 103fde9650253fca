//! What earlier statements of a folder say about the schema.

use std::collections::{BTreeMap, BTreeSet};

/// Tables by their names without schema, quotes and case: two that differ in these alone are taken for one. What is new goes by
/// its name as written: nothing is refused there, so no other table may be taken for it.
#[derive(Debug, Default)]
pub(super) struct Known {
    columns: BTreeMap<(String, String), String>,
    /// Tables that the version at hand has made: nobody uses them yet.
    new: BTreeSet<String>,
    /// Columns that the version at hand has added.
    added: BTreeSet<(String, String)>,
    /// Columns of which a validated check says that they are not null.
    filled: BTreeSet<(String, String)>,
    /// Tables with a validated check.
    checked: BTreeSet<String>,
    /// Checks that aren't validated yet: table and name, and what they say.
    pending: BTreeMap<(String, String), String>,
}

/// A name without the signs beside it: ONLY, parentheses, and the * of the tables that inherit from it.
fn plain(name: &str) -> &str {
    let name = name.trim();
    let only = name.split_at_checked(4).filter(|(word, rest)| {
        word.eq_ignore_ascii_case("ONLY") && rest.starts_with(|c: char| c == '(' || c.is_whitespace())
    });
    let name = only.map_or(name, |(_, rest)| rest);
    name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '*'))
}

/// A name as it is written, without space around its dot.
fn written(name: &str) -> String {
    plain(name).split('.').map(str::trim).collect::<Vec<_>>().join(".")
}

/// A name as it is compared: without schema, quotes and case.
pub(super) fn bare(name: &str) -> String {
    let name = plain(name);
    let last = name.rsplit('.').next().unwrap_or(name).trim();
    last.trim_matches(|c| matches!(c, '"' | '`' | '*' | ' ')).to_ascii_lowercase()
}

impl Known {
    /// Another version begins.
    pub(super) fn begin(&mut self) {
        self.new.clear();
        self.added.clear();
    }

    /// A table is made, for certain: with IF NOT EXISTS it may have been there.
    pub(super) fn make_table(&mut self, table: &str) {
        self.new.insert(written(table));
    }

    pub(super) fn is_new(&self, table: &str) -> bool {
        self.new.contains(&written(table))
    }

    /// A column has this type now.
    pub(super) fn type_of_column(&mut self, table: &str, column: &str, kind: &str) {
        self.columns.insert((bare(table), bare(column)), kind.to_owned());
    }

    /// A column is added, for certain.
    pub(super) fn add_column(&mut self, table: &str, column: &str) {
        self.added.insert((written(table), bare(column)));
    }

    pub(super) fn is_added(&self, table: &str, column: &str) -> bool {
        self.is_new(table) || self.added.contains(&(written(table), bare(column)))
    }

    pub(super) fn kind(&self, table: &str, column: &str) -> Option<&str> {
        self.columns.get(&(bare(table), bare(column))).map(String::as_str)
    }

    /// A check that is valid, or is not yet.
    pub(super) fn check(&mut self, table: &str, name: &str, condition: &str, valid: bool) {
        if valid {
            self.believe(&bare(table), condition);
        } else {
            self.pending.insert((bare(table), bare(name)), condition.to_owned());
        }
    }

    pub(super) fn validate(&mut self, table: &str, name: &str) {
        let table = bare(table);
        if let Some(condition) = self.pending.remove(&(table.clone(), bare(name))) {
            self.believe(&table, &condition);
        }
    }

    fn believe(&mut self, table: &str, condition: &str) {
        self.checked.insert(table.to_owned());
        let condition = condition.to_ascii_lowercase();
        if let Some((column, "")) = condition.trim_matches(['(', ')', ' ']).split_once(" is not null") {
            self.filled.insert((table.to_owned(), bare(column)));
        }
    }

    /// Whether a check says that the column has no NULL.
    pub(super) fn is_filled(&self, table: &str, column: &str) -> bool {
        self.filled.contains(&(bare(table), bare(column)))
    }

    /// Whether the table has a check that is valid.
    pub(super) fn is_checked(&self, table: &str) -> bool {
        self.checked.contains(&bare(table))
    }
}
