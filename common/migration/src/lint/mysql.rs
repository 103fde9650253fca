//! MySQL and MariaDB: what the words of a statement say. Which algorithm a change of a table takes depends on the server's
//! version; so each must say which it may take, and the server refuses what it can't do so (manual, 15.1.9).

use cutover_core::Engine;

use super::known::{Known, bare};
use super::rule::Rule;
use super::{Statement, bounded};
use crate::statement::{listed, statements};
use crate::token::Token;

/// What statements that nobody notices begin with.
const KNOWN: [&str; 9] = ["ALTER", "ANALYZE", "DO", "GRANT", "INSERT", "REPLACE", "SELECT", "SET", "WITH"];

/// Classifies the statements of a file.
pub(super) fn lint(text: &str, engine: Engine, known: &mut Known) -> Vec<Statement> {
    let all = statements(text, engine);
    all.iter()
        .map(|statement| {
            let at = statement.tokens.first().map_or(0, |token| token.at);
            let end = statement.tokens.last().map_or(at, Token::end);
            let words = Words(&statement.tokens);
            let found = words.rules(known).into_iter().map(|rule| (rule, at)).collect();
            Statement { at, end, found }
        })
        .collect()
}

/// The tokens of a statement.
struct Words<'a>(&'a [Token<'a>]);

impl<'a> Words<'a> {
    fn is(&self, at: usize, word: &str) -> bool {
        self.0.get(at).is_some_and(|token| token.is(word))
    }

    fn begins(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(at, word)| self.is(at, word))
    }

    fn says(&self, words: &[&str]) -> bool {
        (0..self.0.len()).any(|at| words.iter().enumerate().all(|(next, word)| self.is(at + next, word)))
    }

    /// The name that stands at `at`, schema included, and where what is behind it begins.
    fn name(&self, mut at: usize) -> (String, usize) {
        for words in [&["IF", "NOT", "EXISTS"][..], &["IF", "EXISTS"]] {
            if words.iter().enumerate().all(|(next, word)| self.is(at + next, word)) {
                at += words.len();
            }
        }
        let text = |at: usize| self.0.get(at).map(|token| token.text).unwrap_or_default();
        if self.0.get(at + 1).is_some_and(|token| token.is_symbol(".")) {
            (format!("{}.{}", text(at), text(at + 2)), at + 3)
        } else {
            (text(at).to_owned(), at + 1)
        }
    }

    /// Where a word stands first, behind it.
    fn behind(&self, word: &str) -> Option<usize> {
        self.0.iter().position(|token| token.is(word)).map(|at| at + 1)
    }

    fn rules(&self, known: &mut Known) -> Vec<Rule> {
        if self.begins(&["SET", "STATEMENT"])
            && let Some(rest) = self.behind("FOR").and_then(|at| self.0.get(at..))
        {
            return Words(rest).rules(known);
        }
        if self.begins(&["ALTER"]) && self.behind("TABLE").is_some_and(|at| at <= 4) {
            return self.alter_table(known);
        }
        if self.begins(&["CREATE"]) || self.begins(&["DROP"]) {
            return self.create_or_drop(known);
        }
        let rule = if self.begins(&["UPDATE"]) || self.begins(&["DELETE"]) {
            (!bounded(self.0)).then_some(Rule::UNBOUNDED)
        } else if self.begins(&["TRUNCATE"]) {
            Some(Rule::TRUNCATE)
        } else if self.begins(&["RENAME"]) {
            Some(Rule::RENAME)
        } else if self.begins(&["LOCK"]) || self.begins(&["FLUSH", "TABLES"]) {
            Some(Rule::LOCK)
        } else if self.begins(&["OPTIMIZE"]) {
            Some(Rule::VACUUM_FULL)
        } else if self.begins(&["CALL"]) {
            Some(Rule::CODE)
        } else if self.begins(&["REVOKE"]) {
            Some(Rule::REVOKE)
        } else {
            let known = KNOWN.into_iter().any(|word| self.is(0, word));
            (!known).then_some(Rule::UNREAD)
        };
        rule.into_iter().collect()
    }

    fn create_or_drop(&self, known: &mut Known) -> Vec<Rule> {
        let drop = self.begins(&["DROP"]);
        let kind = ["TABLE", "INDEX", "TRIGGER", "DATABASE", "SCHEMA", "VIEW"]
            .into_iter()
            .filter_map(|word| Some((self.behind(word).filter(|at| *at <= 12)?, word)))
            .min();
        let Some((at, kind)) = kind else {
            return if drop { vec![Rule::DROP] } else { Vec::new() };
        };
        match (kind, drop) {
            ("TABLE", false) if self.begins(&["CREATE", "OR", "REPLACE"]) => vec![Rule::DROP_TABLE],
            ("TABLE", false) => {
                if !self.is(at, "IF") {
                    known.make_table(&self.name(at).0);
                }
                Vec::new()
            }
            ("TABLE", true) => vec![Rule::DROP_TABLE],
            ("DATABASE" | "SCHEMA", true) => vec![Rule::DROP_DATABASE],
            ("INDEX", _) => {
                let table = self.behind("ON").map(|at| self.name(at).0).unwrap_or_default();
                if known.is_new(&table) { Vec::new() } else { self.algorithm() }
            }
            ("TRIGGER", false) => vec![Rule::TRIGGER],
            (_, true) => vec![Rule::DROP],
            _ => Vec::new(),
        }
    }

    fn alter_table(&self, known: &mut Known) -> Vec<Rule> {
        let Some(at) = self.behind("TABLE") else { return Vec::new() };
        let (table, at) = self.name(at);
        if known.is_new(&table) {
            return Vec::new();
        }
        let mut rules = self.algorithm();
        for action in listed(self.0.get(at..).unwrap_or_default()) {
            rules.extend(Words(action).action(&table, known));
        }
        rules.dedup();
        rules
    }

    /// What an action of ALTER TABLE breaks beside the way in which it is made.
    fn action(&self, table: &str, known: &mut Known) -> Vec<Rule> {
        let column = |words: &[&str]| self.name(words.len()).0;
        // MariaDB copies the table for either, whatever the statement says.
        let period = self.is(1, "PERIOD") && (self.is(2, "FOR") || self.is(2, "IF"));
        if self.begins(&["ADD", "SYSTEM", "VERSIONING"]) || self.begins(&["ADD"]) && period {
            return vec![Rule::COPY];
        }
        if self.begins(&["DROP", "SYSTEM", "VERSIONING"]) || self.begins(&["DROP"]) && period {
            return vec![Rule::DROP];
        }
        if self.begins(&["DROP"]) {
            let kept = [
                &["INDEX"][..],
                &["KEY"],
                &["CONSTRAINT"],
                &["FOREIGN", "KEY"],
                &["PRIMARY", "KEY"],
                &["CHECK"],
                &["PARTITION"],
            ];
            let other = kept.into_iter().any(|words| self.says(&[&["DROP"], words].concat()));
            let index = self.begins(&["DROP", "INDEX"]) || self.begins(&["DROP", "KEY"]);
            return match (other, index) {
                (_, true) => Vec::new(),
                (true, _) => vec![Rule::DROP],
                (false, _) => vec![Rule::DROP_COLUMN],
            };
        }
        if self.begins(&["RENAME"]) {
            let index = self.is(1, "INDEX") || self.is(1, "KEY");
            return if index { Vec::new() } else { vec![Rule::RENAME] };
        }
        if self.begins(&["CHANGE"]) {
            let at = if self.is(1, "COLUMN") { 2 } else { 1 };
            let ((old, next), required) = (self.name(at), self.says(&["NOT", "NULL"]));
            let new = self.name(next).0;
            let rename = (bare(&old) != bare(&new)).then_some(Rule::RENAME);
            return rename.into_iter().chain(required.then_some(Rule::NOT_NULL)).collect();
        }
        if self.begins(&["MODIFY"]) {
            let column =
                if self.is(1, "COLUMN") { column(&["MODIFY", "COLUMN"]) } else { column(&["MODIFY"]) };
            let required = self.says(&["NOT", "NULL"]) && !known.is_added(table, &column);
            return required.then_some(Rule::NOT_NULL).into_iter().collect();
        }
        if self.begins(&["ALTER"]) && (self.says(&["SET", "DEFAULT"]) || self.says(&["DROP", "DEFAULT"])) {
            let column = if self.is(1, "COLUMN") { column(&["ALTER", "COLUMN"]) } else { column(&["ALTER"]) };
            let changed = !known.is_added(table, &column);
            return changed.then_some(Rule::CHANGE_DEFAULT).into_iter().collect();
        }
        if self.begins(&["ADD"]) {
            let others = [
                "INDEX",
                "KEY",
                "UNIQUE",
                "CONSTRAINT",
                "PRIMARY",
                "FOREIGN",
                "FULLTEXT",
                "SPATIAL",
                "CHECK",
                "PARTITION",
            ];
            if others.into_iter().any(|word| self.is(1, word)) {
                return Vec::new();
            }
            let name = if self.is(1, "COLUMN") { column(&["ADD", "COLUMN"]) } else { column(&["ADD"]) };
            known.add_column(table, &name);
            let required = self.says(&["NOT", "NULL"]) && !self.says(&["DEFAULT"]);
            return required.then_some(Rule::ADD_REQUIRED).into_iter().collect();
        }
        if self.begins(&["TABLESPACE"]) || self.begins(&["ENGINE"]) || self.begins(&["CONVERT"]) {
            return vec![Rule::MOVE];
        }
        Vec::new()
    }

    /// Whether the statement says how the table is to be changed, and so that nobody waits.
    fn algorithm(&self) -> Vec<Rule> {
        let value = |key: &str| {
            let at = self.behind(key)?;
            let at = if self.0.get(at).is_some_and(|token| token.is_symbol("=")) { at + 1 } else { at };
            self.0.get(at).map(|token| token.text.to_ascii_uppercase())
        };
        match (value("ALGORITHM").as_deref(), value("LOCK").as_deref()) {
            (Some("COPY"), _) | (_, Some("SHARED" | "EXCLUSIVE")) => vec![Rule::COPY],
            (Some("INSTANT"), _) | (Some("INPLACE" | "NOCOPY"), Some("NONE")) => Vec::new(),
            _ => vec![Rule::ALGORITHM],
        }
    }
}
