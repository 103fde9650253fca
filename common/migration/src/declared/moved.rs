//! A column that becomes others: what a new name, a new type and a split have in common.

use cutover_core::{Change, Column};

/// A column whose values go over to others, and back as long as an old version may read it.
pub(super) struct Moved<'a> {
    pub(super) table: &'a str,
    pub(super) from: &'a str,
    /// The type of the old column, where it is known.
    pub(super) was: Option<&'a str>,
    /// The new columns, and their values, of the old one.
    pub(super) into: Vec<(&'a Column, &'a str)>,
    /// The old value, of the new ones.
    pub(super) back: &'a str,
}

impl<'a> Moved<'a> {
    /// What `change` is of this kind, if it is.
    pub(super) fn of(change: &'a Change) -> Option<Self> {
        Some(match change {
            Change::RenameColumn { table, from, to } => {
                Self { table, from, was: Some(&to.kind), into: vec![(to, from.as_str())], back: &to.name }
            }
            Change::ChangeType { table, from, to, was, using, back } => {
                Self { table, from, was: was.as_deref(), into: vec![(to, using.as_str())], back }
            }
            Change::Split { table, from, was, into, back } => {
                let into = into.iter().map(|(column, using)| (column, using.as_str())).collect();
                Self { table, from, was: was.as_deref(), into, back }
            }
            _ => return None,
        })
    }

    /// One text for each new column, `between` them.
    pub(super) fn each(&self, between: &str, text: impl Fn(usize, &Column, &str) -> String) -> String {
        let texts: Vec<String> =
            (1..).zip(&self.into).map(|(number, (column, using))| text(number, column, using)).collect();
        texts.join(between)
    }

    /// What holds for a row that has nothing in the new columns and would get something. It holds for none twice: what a
    /// new version has written is never written over.
    pub(super) fn left(&self) -> String {
        let empty = self.each(" AND ", |_, column, _| format!("{} IS NULL", column.name));
        let value = self.each(" OR ", |_, _, using| format!("({using}) IS NOT NULL"));
        format!("{empty} AND ({value})")
    }

    /// What each new column gets.
    pub(super) fn values(&self) -> Vec<(String, String)> {
        self.into.iter().map(|(column, using)| (column.name.clone(), (*using).to_owned())).collect()
    }
}
