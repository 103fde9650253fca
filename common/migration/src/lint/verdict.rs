//! What was found, in front of people.

use std::fmt;

use cutover_core::Phase;

use super::rule::{Class, Rule, Severity};

/// A statement of a migration, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its file's name.
    pub file: String,
    /// The migration's version.
    pub version: String,
    /// When it runs.
    pub phase: Phase,
    /// The line that it starts in, from 1.
    pub line: usize,
    /// Its first line.
    pub sql: String,
    /// What was found; nothing: it is safe.
    pub findings: Vec<Finding>,
}

/// A rule that a statement breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Whether the migration runs all the same.
    pub severity: Severity,
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The line's text.
    pub text: String,
    /// The file that it is to be moved to, where that is what to do.
    pub contract: Option<String>,
    /// Why it is meant, where an override says so.
    pub allowed: Option<String>,
}

impl Verdict {
    /// The worst that the statement does to those who use the database.
    pub fn class(&self) -> Class {
        self.findings.iter().map(|finding| finding.rule.class()).max().unwrap_or(Class::Safe)
    }

    /// What keeps the migration from running.
    pub fn refused(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_refused())
    }
}

impl Finding {
    /// Whether it keeps the migration from running.
    pub fn is_refused(&self) -> bool {
        self.severity == Severity::Refused && self.allowed.is_none()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.class().as_str())?;
        for (index, finding) in self.findings.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { ", " })?;
            f.write_str(finding.rule.name())?;
            if let Some(reason) = &finding.allowed {
                write!(f, ", allowed: {reason}")?;
            }
        }
        f.write_str(if self.findings.is_empty() { "" } else { ")" })?;
        write!(f, ": {}", self.sql)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, file, line, column, text, .. } = self;
        let margin = " ".repeat(line.to_string().len());
        let indent = column.saturating_sub(1);
        let width = text.chars().count().saturating_sub(indent).max(1);
        writeln!(f, "{file}:{line}:{column}: {} ({}): {}", rule.name(), rule.class().as_str(), rule.why())?;
        writeln!(f, "{margin} |\n{line} | {text}\n{margin} | {:indent$}{:^>width$}", "", "")?;
        match &self.contract {
            Some(contract) => write!(f, "  = move it to {contract}"),
            None => write!(f, "  = {}", rule.instead()),
        }
    }
}
