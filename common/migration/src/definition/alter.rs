//! What ALTER TABLE leaves, action by action (MySQL's manual, 15.1.9; MariaDB's knowledge base, ALTER TABLE).

use super::words::Words;
use super::{Definition, Mark, Member, Name, Thing};
use crate::statement::listed;

/// Actions after which a table is as if they had been done once, however often they are.
const REPEATABLE: [&str; 9] =
    ["MODIFY", "ALTER", "ALGORITHM", "LOCK", "COMMENT", "CONVERT", "DEFAULT", "ENGINE", "FORCE"];

/// Actions that the catalog doesn't show.
const HIDDEN: [&str; 4] = ["EXCHANGE", "TRUNCATE", "DISCARD", "IMPORT"];

/// Reads what stands behind ALTER TABLE.
pub(super) fn read(mut words: Words<'_>) -> Option<Definition> {
    words.condition();
    let table = words.name()?;
    words.wait();
    let mut definition =
        Definition { tables: vec![table.clone()], repeatable: true, ..Definition::default() };
    for action in listed(words.0) {
        let words = Words(action);
        if words.is_empty() || REPEATABLE.into_iter().any(|word| words.begins(&[word])) {
            continue;
        }
        if HIDDEN.into_iter().any(|word| words.begins(&[word])) {
            return None;
        }
        match (Action { table: &table, words }).marks() {
            Some(marks) if marks.is_empty() => {}
            marks => {
                // Where there are none, all that is seen is that the table has changed.
                definition.repeatable = false;
                definition.marks.extend(marks.unwrap_or_default());
            }
        }
    }
    let others = definition.marks.iter().filter_map(|mark| mark.thing.table());
    let others: Vec<Name> = others.filter(|other| **other != table).cloned().collect();
    definition.tables.extend(others);
    Some(definition)
}

/// An action.
struct Action<'a> {
    table: &'a Name,
    words: Words<'a>,
}

impl Action<'_> {
    fn mark(&self, member: Member, name: String, there: bool) -> Mark {
        Mark { thing: Thing::Member(self.table.clone(), member, name), there }
    }

    /// What holds afterwards; nothing of an action that can be repeated, None of one of which nothing is known.
    fn marks(&mut self) -> Option<Vec<Mark>> {
        match self.words.any(&["ADD", "DROP", "CHANGE", "RENAME"])? {
            "ADD" => self.added(),
            "DROP" => self.dropped().map(|mark| vec![mark]),
            "CHANGE" => {
                self.words.take(&["COLUMN"]);
                self.words.condition();
                let (from, to) = (self.words.identifier()?, self.words.identifier()?);
                Some(if from == to { Vec::new() } else { self.moved(Member::Column, from, to) })
            }
            _ => self.renamed(),
        }
    }

    fn moved(&self, member: Member, from: String, to: String) -> Vec<Mark> {
        vec![self.mark(member, from, false), self.mark(member, to, true)]
    }

    fn added(&mut self) -> Option<Vec<Mark>> {
        let mut constraint = None;
        if self.words.take(&["CONSTRAINT"]) {
            let unnamed = ["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"];
            if !unnamed.into_iter().any(|word| self.words.begins(&[word])) {
                self.words.condition();
                constraint = Some(self.words.identifier()?);
            }
        }
        if self.words.take(&["PRIMARY", "KEY"]) {
            return Some(vec![self.mark(Member::Index, "PRIMARY".to_owned(), true)]);
        }
        if self.words.take(&["FOREIGN", "KEY"]) || self.words.take(&["CHECK"]) {
            return Some(vec![self.mark(Member::Constraint, constraint?, true)]);
        }
        if self.words.begins(&["PARTITION"]) || self.is_temporal() {
            return None;
        }
        let kind = self.words.any(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        if self.words.any(&["INDEX", "KEY"]).is_some() || kind.is_some() {
            self.words.condition();
            let name = if self.words.begins(&["USING"]) { None } else { self.words.identifier() };
            return Some(vec![self.mark(Member::Index, name.or(constraint)?, true)]);
        }
        self.words.take(&["COLUMN"]);
        self.words.condition();
        if let Some(first) = self.words.0.first().filter(|token| token.is_symbol("(")) {
            let inner: Vec<_> = self.words.0.iter().filter(|token| token.at != first.at).copied().collect();
            let names = listed(&inner).into_iter().map(|column| Words(column).identifier());
            let names = names.collect::<Option<Vec<_>>>()?;
            return Some(names.into_iter().map(|name| self.mark(Member::Column, name, true)).collect());
        }
        let name = self.words.identifier()?;
        Some(vec![self.mark(Member::Column, name, true)])
    }

    /// Whether it is about MariaDB's versions of rows, or a period of time: neither has a name in the catalog.
    fn is_temporal(&self) -> bool {
        let mut words = self.words;
        words.take(&["SYSTEM", "VERSIONING"])
            || words.take(&["PERIOD"]) && (words.condition() || words.begins(&["FOR"]))
    }

    fn dropped(&mut self) -> Option<Mark> {
        if self.words.take(&["PRIMARY", "KEY"]) {
            return Some(self.mark(Member::Index, "PRIMARY".to_owned(), false));
        }
        let member = if self.words.any(&["INDEX", "KEY"]).is_some() {
            Member::Index
        } else if self.words.take(&["FOREIGN", "KEY"]) || self.words.any(&["CONSTRAINT", "CHECK"]).is_some() {
            Member::Constraint
        } else if self.words.begins(&["PARTITION"]) || self.is_temporal() {
            return None;
        } else {
            self.words.take(&["COLUMN"]);
            Member::Column
        };
        self.words.condition();
        let name = self.words.identifier()?;
        Some(self.mark(member, name, false))
    }

    fn renamed(&mut self) -> Option<Vec<Mark>> {
        let member = match self.words.any(&["COLUMN", "INDEX", "KEY"]) {
            Some("COLUMN") => Member::Column,
            Some(_) => Member::Index,
            None => {
                self.words.any(&["TO", "AS"]);
                let to = self.words.name()?;
                let from = Mark { thing: Thing::Table(self.table.clone()), there: false };
                return Some(vec![from, Mark { thing: Thing::Table(to), there: true }]);
            }
        };
        self.words.condition();
        let from = self.words.identifier()?;
        self.words.take(&["TO"]);
        let to = self.words.identifier()?;
        Some(self.moved(member, from, to))
    }
}
