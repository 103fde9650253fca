//! What a run of Rails says, line by line. Pure.

/// How lines begin that are not of Rails.
const VERDICT: &str = "cutover: ";

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

    /// Whether it was applied.
    pub(super) fn is_applied(&self) -> bool {
        self.what.contains(": migrated (")
    }
}

/// What a line says that is not of Rails: the last one, why it could not be done.
pub(super) fn verdict(line: &str) -> Option<&str> {
    line.strip_prefix(VERDICT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rails_announces_is_read() {
        let begun = "== 20260102 AddName: migrating =====================================";
        let done = "== 20260102 AddName: migrated (0.0123s) ============================";
        let read = Announced { version: "20260102", what: "AddName: migrating" };
        assert_eq!(Announced::of(begun), Some(read));
        assert!(!read.is_applied());
        assert!(Announced::of(done).is_some_and(|done| done.is_applied() && done.version == "20260102"));
        for line in ["-- add_column(:people, :name, :text)", "   -> 0.0004s", "== a b: c ==", "==", ""] {
            assert_eq!(Announced::of(line), None, "{line}");
        }
        assert_eq!(verdict("cutover: no lock"), Some("no lock"));
    }
}
