//! What the migrations that are still to run do to those who use the database.

use std::fmt;

use cutover_core::{MigrationFile, Service};
use cutover_migration::lint::{Finding, Verdict};
use serde::Serialize;

use crate::error::Error;

/// A classified statement, as `--json` has it.
#[derive(Serialize)]
pub(crate) struct Classified<'a> {
    file: &'a str,
    line: usize,
    class: &'static str,
    rules: Vec<&'static str>,
    refused: bool,
    sql: &'a str,
    #[serde(skip)]
    verdict: &'a Verdict,
}

impl<'a> Classified<'a> {
    pub(crate) fn of(verdict: &'a Verdict) -> Self {
        Self {
            file: &verdict.file,
            line: verdict.line,
            class: verdict.class().as_str(),
            rules: verdict.findings.iter().map(|finding| finding.rule.name()).collect(),
            refused: verdict.refused().next().is_some(),
            sql: &verdict.sql,
            verdict,
        }
    }
}

impl fmt::Display for Classified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verdict.fmt(f)
    }
}

/// Those of `verdicts` that are about `pending`.
pub(crate) fn of_pending<'a>(verdicts: &'a [Verdict], pending: &[&MigrationFile]) -> Vec<&'a Verdict> {
    let is_pending = |verdict: &&Verdict| {
        pending.iter().any(|file| file.version == verdict.version && file.phase == verdict.phase)
    };
    verdicts.iter().filter(is_pending).collect()
}

/// What is to be said of a migration of Rails that was written anew after it was applied.
pub(crate) fn not_again(file: &MigrationFile) -> String {
    format!("migration {} was applied with another text: Rails doesn't run it again", file.title())
}

/// Refuses what would disturb whoever uses the database. Before the first release nobody does.
///
/// # Errors
/// As for [`refuse`].
pub(crate) fn check<'a>(
    service: &Service,
    verdicts: impl IntoIterator<Item = &'a Verdict>,
) -> Result<(), Error> {
    if service.live().is_some() { refuse(verdicts) } else { Ok(()) }
}

/// Refuses what would disturb whoever uses the database.
///
/// # Errors
/// Every finding that no override allows, each with its line.
pub(crate) fn refuse<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Result<(), Error> {
    let refused: Vec<String> =
        verdicts.into_iter().flat_map(Verdict::refused).map(Finding::to_string).collect();
    if refused.is_empty() { Ok(()) } else { Err(Error::Dangerous(refused.join("\n\n"))) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{Digest, Engine, Phase};
    use cutover_migration::lint::{Script, lint};

    use super::*;
    use crate::fixture::Transcript;

    fn verdicts() -> Vec<Verdict> {
        let script = |version: &str, sql: &str| Script {
            file: format!("{version}_a.sql"),
            contract: format!("{version}_a.contract.sql"),
            version: version.to_owned(),
            phase: Phase::Expand,
            sql: sql.to_owned(),
            declared: false,
        };
        let scripts = [script("1", "DROP TABLE a;"), script("2", "SELECT 1;\nDROP TABLE b;")];
        lint(&scripts, Engine::Postgresql).unwrap()
    }

    #[test]
    fn what_was_applied_is_not_asked_again() {
        let verdicts = verdicts();
        let second = MigrationFile::expand("2", "a", Digest::of(b""));
        let pending: Vec<String> =
            of_pending(&verdicts, &[&second]).into_iter().map(ToString::to_string).collect();
        assert_eq!(
            pending,
            ["2_a.sql:1: safe: SELECT 1", "2_a.sql:2: destructive (drop-table): DROP TABLE b"]
        );
    }

    #[test]
    fn what_is_dangerous_is_refused_once_something_is_live() {
        let verdicts = verdicts();
        assert!(check(&Service::default(), &verdicts).is_ok());
        let refused = check(&Transcript::with_live_v1().service, &verdicts).unwrap_err();
        assert_eq!(refused.exit(), crate::exit::Exit::Usage);
        let message = refused.to_string();
        assert!(message.contains("1_a.sql:1:1: drop-table"), "{message}");
        assert!(message.contains("\n\n2_a.sql:2:1: drop-table"), "{message}");
    }
}
