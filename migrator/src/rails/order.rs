//! What Rails is asked to do, as it is written into the environment of its container.

use cutover_core::{MigrationFile, Phase, Release, ServiceKey, Span};
use serde::Serialize;

use super::RailsError;
use crate::Limits;

/// What Linux lets one variable of an environment have, its name included (`MAX_ARG_STRLEN`, execve(2)).
const LONGEST: usize = 128 << 10;

/// The migrations to run, and how.
#[derive(Debug, Serialize)]
pub(super) struct Order<'a> {
    phase: Phase,
    /// The versions that must be applied in the end.
    run: Vec<&'a str>,
    /// The versions of the other phase, which must not be.
    later: Vec<&'a str>,
    /// The name of the session in the database, by which the next attempt knows what this one has left.
    session: String,
    limits: Milliseconds,
    /// The key of an advisory lock that is held in the only database that may be touched; none: whatever the application connects to.
    #[serde(skip_serializing_if = "Option::is_none")]
    seal: Option<i64>,
}

/// The limits of waits that Rails keeps, in milliseconds.
#[derive(Debug, Serialize)]
struct Milliseconds {
    lock: u128,
    longest_lock: u128,
    patience: u128,
    statement: u128,
    index_lock: u128,
    index: u128,
    /// All of it: where nobody watches over the container any more, it ends by itself.
    whole: u128,
}

impl<'a> Order<'a> {
    /// To apply what the version before tolerates: all but what is to be contracted.
    pub(super) fn expand(key: &ServiceKey, release: &'a Release, limits: &Limits, whole: Span) -> Self {
        let expand = release.migrations.iter().filter(|file| file.phase.is_expand());
        let later = release.contracts().map(version).collect();
        Self {
            phase: Phase::Expand,
            run: expand.map(version).collect(),
            later,
            ..Self::new(key, limits, whole)
        }
    }

    /// To apply these, which only the new version tolerates.
    pub(super) fn contract(
        key: &ServiceKey,
        begun: impl Iterator<Item = &'a MigrationFile>,
        limits: &Limits,
        whole: Span,
    ) -> Self {
        Self { run: begun.map(version).collect(), ..Self::new(key, limits, whole) }
    }

    fn new(key: &ServiceKey, limits: &Limits, whole: Span) -> Self {
        let limits = Milliseconds {
            lock: limits.lock.as_millis(),
            longest_lock: limits.longest_lock.as_millis(),
            patience: limits.patience.as_millis(),
            statement: limits.statement.as_millis(),
            index_lock: limits.index_lock.as_millis(),
            index: limits.index.as_millis(),
            whole: whole.0.as_millis(),
        };
        let id = cutover_core::Digest::of(key.to_string().as_bytes());
        let session = session(&format!("cutover {}", id.short()), key);
        Self { phase: Phase::Contract, run: Vec::new(), later: Vec::new(), session, limits, seal: None }
    }

    /// The same, in no other database than the one in which the advisory lock `key` is held.
    pub(super) fn sealed(self, key: i64) -> Self {
        Self { seal: Some(key), ..self }
    }

    /// As the value of a variable.
    ///
    /// # Errors
    /// More migrations than a variable can name.
    pub(super) fn to_text(&self) -> Result<String, RailsError> {
        // Nothing in it can fail to be written.
        let text = serde_json::to_string(self).unwrap_or_default();
        let migrations = self.run.len() + self.later.len();
        if text.len() + 32 > LONGEST { Err(RailsError::TooMany { migrations }) } else { Ok(text) }
    }
}

/// The name of a session that is at work for a service: what of it PostgreSQL keeps.
pub(super) fn session(what: &str, key: &ServiceKey) -> String {
    let name = format!("{what} {key}");
    name.chars().take(63).collect()
}

fn version(file: &MigrationFile) -> &str {
    &file.version
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{DeployFile, Digest, Source};

    use super::*;

    fn release(files: Vec<MigrationFile>) -> (ServiceKey, Release) {
        let text = "service: hello\nimage: hello\ndestinations: {production: {hosts: [203.0.113.7]}}";
        let target = DeployFile::parse(text, "cutover.yaml").unwrap().destination(None).unwrap();
        let source = Source::Image("hello".to_owned());
        let release =
            Release { version: "v1".to_owned(), source, settings: target.settings, migrations: files };
        (target.key, release)
    }

    fn file(phase: Phase, version: &str) -> MigrationFile {
        MigrationFile::of_phase(phase, version, "a", Digest::of(b""))
    }

    #[test]
    fn what_is_to_be_contracted_waits() {
        let files = vec![file(Phase::Expand, "1"), file(Phase::Contract, "2"), file(Phase::Expand, "3")];
        let (key, release) = release(files);
        let text = Order::expand(&key, &release, &Limits::default(), Span::seconds(600)).to_text().unwrap();
        assert!(
            text.starts_with(r#"{"phase":"expand","run":["1","3"],"later":["2"],"session":"cutover "#),
            "{text}"
        );
        assert!(text.contains(r#""lock":100,"#) && text.contains(r#""whole":600000}"#), "{text}");
        assert!(text.contains(r#" production/hello","#), "a DBA doesn't see whose it is: {text}");
        let sealed = Order::expand(&key, &release, &Limits::default(), Span::seconds(600)).sealed(-7);
        assert!(!text.contains("seal") && sealed.to_text().unwrap().contains(r#""seal":-7"#));
        let text = Order::contract(&key, release.contracts(), &Limits::default(), Span::seconds(600))
            .to_text()
            .unwrap();
        assert!(text.starts_with(r#"{"phase":"contract","run":["2"],"later":[],"#), "{text}");
    }

    #[test]
    fn what_no_variable_can_hold_is_refused_before_a_container_is_made_of_it() {
        let files = (0..9_000).map(|n| file(Phase::Expand, &format!("{}", 20_260_101_000_000_u64 + n)));
        let (key, release) = release(files.collect());
        let refused = Order::expand(&key, &release, &Limits::default(), Span::seconds(600)).to_text();
        assert!(matches!(refused, Err(RailsError::TooMany { migrations: 9_000 })));
    }
}
