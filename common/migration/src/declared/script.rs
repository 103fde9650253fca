//! The text of a phase as it is written: parts, their headers, their statements.

use std::fmt::Write;

/// A part: what runs at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    headers: Vec<String>,
    statements: Vec<String>,
}

impl Part {
    /// One statement, in a transaction.
    pub(super) fn of(statement: impl Into<String>) -> Self {
        Self::all([statement.into()])
    }

    /// Several, in one transaction.
    pub(super) fn all(statements: impl IntoIterator<Item = String>) -> Self {
        Self { headers: Vec::new(), statements: statements.into_iter().collect() }
    }

    /// With a header above it.
    pub(super) fn header(mut self, header: impl Into<String>) -> Self {
        self.headers.push(header.into());
        self
    }
}

/// The parts of each phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Phases {
    pub(super) expand: Vec<Part>,
    pub(super) backfill: Vec<Filling>,
    pub(super) contract: Vec<Part>,
}

/// Rows that are brought over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filling {
    /// The table.
    pub(super) table: String,
    /// What each column of it gets.
    pub(super) set: Vec<(String, String)>,
    /// What holds for the rows that are left.
    pub(super) left: String,
    /// Whether the new version reads them.
    pub(super) before_switch: bool,
}

impl Filling {
    pub(super) fn part(&self) -> Part {
        let Self { table, set, left, before_switch } = self;
        let set: Vec<String> = set.iter().map(|(column, value)| format!("{column} = {value}")).collect();
        let update = format!("UPDATE {table}\nSET {}\nWHERE :batch AND {left}", set.join(", "));
        let part = Part::of(update).header(format!("table={table}")).header(format!("verify={left}"));
        if *before_switch { part.header("before=switch") } else { part }
    }
}

/// The text of a phase; none where nothing is to be done in it. `origin` says where it comes from.
pub(super) fn text(parts: &[Part], origin: &str) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    let mut text = format!("-- Written from {origin}.\n");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push_str("\n-- cutover: part\n");
        }
        // Writing into a string can't fail.
        for header in &part.headers {
            let _ = writeln!(text, "-- cutover: {header}");
        }
        for statement in &part.statements {
            let _ = writeln!(text, "{statement};");
        }
    }
    Some(text)
}
