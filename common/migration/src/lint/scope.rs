//! What one transaction has done so far, as far as it matters for what comes after.

use std::collections::BTreeSet;

use super::known::bare;
use super::rule::Rule;

/// A transaction: a part of a migration.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// A table that nobody can read until the end.
    locked: Option<String>,
    changed: bool,
    written: bool,
    foreign_keys: usize,
    constraints: BTreeSet<(String, String)>,
}

impl Scope {
    /// A table that others use is changed. `exclusive`: nobody can read it from now on.
    pub(super) fn change(&mut self, table: &str, exclusive: bool, found: &mut Vec<Rule>) {
        let table = bare(table);
        if self.locked.as_ref().is_some_and(|locked| *locked != table) {
            found.push(Rule::AFTER_LOCK);
        }
        if self.written {
            found.push(Rule::MIXED);
        }
        self.changed = true;
        if exclusive && self.locked.is_none() {
            self.locked = Some(table);
        }
    }

    /// Rows are written.
    pub(super) fn write(&mut self, found: &mut Vec<Rule>) {
        if self.changed {
            found.push(Rule::MIXED);
        }
        self.written = true;
    }

    pub(super) fn add_foreign_key(&mut self, found: &mut Vec<Rule>) {
        self.foreign_keys += 1;
        if self.foreign_keys > 1 {
            found.push(Rule::FOREIGN_KEYS);
        }
    }

    pub(super) fn add_constraint(&mut self, table: &str, name: &str) {
        self.constraints.insert((bare(table), bare(name)));
    }

    pub(super) fn validate(&mut self, table: &str, name: &str, found: &mut Vec<Rule>) {
        if self.constraints.contains(&(bare(table), bare(name))) {
            found.push(Rule::VALIDATE);
        }
    }
}
