//! What a run of Rails says, line by line. Pure.

use std::time::Duration;

use serde::Deserialize;

/// How lines begin that are not of Rails.
const VERDICT: &str = "cutover: ";
/// How lines begin that have a statement, as JSON.
const STATEMENT: &str = "cutover-sql ";

/// A statement that a migration has run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Statement {
    /// The migration's version.
    pub(super) version: String,
    /// What was run, at most its beginning.
    pub(super) sql: String,
    /// How long, in milliseconds.
    pub(super) took: u64,
    /// Whether it ran in one transaction with the migration's others.
    pub(super) together: bool,
}

impl Statement {
    /// What a line has of it.
    pub(super) fn of(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(STATEMENT)?).ok()
    }
}

/// What a line says of a migration, as Rails announces it: `== 20260101 AddName: migrated (0.0123s) ======`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced<'a> {
    /// The version.
    pub(super) version: &'a str,
    /// The name of the class and what becomes of it.
    pub(super) what: &'a str,
}

impl<'a> Announced<'a> {
    /// What a line announces, if anything (`ActiveRecord::Migration#announce`).
    pub(super) fn of(line: &'a str) -> Option<Self> {
        let text = line.strip_prefix("== ")?.trim_end_matches('=').trim_end();
        let (version, what) = text.split_once(' ')?;
        let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        (is_version && what.contains(": ")).then_some(Self { version, what })
    }

    /// How long it took to be applied; none: it wasn't.
    pub(super) fn applied_in(&self) -> Option<Duration> {
        let (_, took) = self.what.split_once(": migrated (")?;
        let seconds = took.split('s').next()?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// What a line says that is not of Rails: the last one, why it could not be done.
pub(super) fn verdict(line: &str) -> Option<&str> {
    line.strip_prefix(VERDICT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_rails_announces_is_read() {
        let begun = "== 20260102 AddName: migrating =====================================";
        let done = "== 20260102 AddName: migrated (0.0123s) ============================";
        let read = Announced { version: "20260102", what: "AddName: migrating" };
        assert_eq!(Announced::of(begun), Some(read));
        assert_eq!(read.applied_in(), None);
        let done = Announced::of(done).unwrap();
        assert_eq!((done.version, done.applied_in()), ("20260102", Some(Duration::from_micros(12_300))));
        for line in ["-- add_column(:people, :name, :text)", "   -> 0.0004s", "== a b: c ==", "==", ""] {
            assert_eq!(Announced::of(line), None, "{line}");
        }
        assert_eq!(verdict("cutover: no lock"), Some("no lock"));
        let line = r#"cutover-sql {"version":"2","sql":"ALTER TABLE \"a\" …","took":12,"together":true}"#;
        let (version, sql) = ("2".to_owned(), "ALTER TABLE \"a\" …".to_owned());
        assert_eq!(Statement::of(line), Some(Statement { version, sql, took: 12, together: true }));
        assert_eq!((verdict(line), Statement::of("cutover-sql {")), (None, None));
    }
}
