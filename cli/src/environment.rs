//! Environments, and the references to variables in them. No value is ever shown.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;

use cutover_core::{NeededSecret, Program, Reference, Settings};
use serde::Serialize;

/// The environment of a process.
pub(crate) struct Environment(HashMap<OsString, OsString>);

/// A reference to a variable that the programs don't have as this command has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unresolved {
    /// The key of the deploy file.
    key: String,
    variable: String,
    reason: Reason,
}

/// What is wrong with a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Reason {
    /// It is set nowhere.
    Unset,
    /// It is set here, and was not when the programs were started.
    Later,
    /// The programs were started with another value.
    Changed,
}

impl Environment {
    /// That of this command.
    pub(crate) fn of_this_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// That which a process was started with (proc(5), `/proc/pid/environ`).
    ///
    /// # Errors
    /// A process that has ended, or is another user's.
    pub(crate) fn of_process(pid: u32) -> io::Result<Self> {
        fs::read(format!("/proc/{pid}/environ")).map(|block| Self::parse(&block))
    }

    /// Reads `NAME=value`, each ended by a null byte. Of one that is there twice, the first counts, as for getenv(3).
    fn parse(block: &[u8]) -> Self {
        let mut variables = HashMap::new();
        for variable in block.split(|byte| *byte == 0) {
            let Some(end) = variable.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = variable.split_at(end);
            let value = value.iter().skip(1).copied().collect();
            variables.entry(OsString::from_vec(name.to_owned())).or_insert_with(|| OsString::from_vec(value));
        }
        Self(variables)
    }

    /// The value of a variable; an empty one is as good as none.
    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment of {} variables", self.0.len())
    }
}

/// The references of settings, and of what is `built`, to variables that the programs don't have as they are `here`; those of
/// the database where the deployment `expands`. What is set only in the programs is as it is meant to be: they were given it.
pub(crate) fn unresolved(
    settings: &Settings,
    built: Vec<NeededSecret<'_>>,
    expands: bool,
    here: &Environment,
    programs: &Environment,
) -> Vec<Unresolved> {
    let mut needed = settings.needed_secrets();
    needed.retain(|needed| expands || needed.reader != Program::Migrator);
    needed.extend(built);
    // The password of a registry is needed by two.
    needed.sort_by(|one, other| one.key.cmp(&other.key));
    needed.dedup_by(|one, other| one.key == other.key);
    let told = |NeededSecret { key, reference, .. }: NeededSecret<'_>| {
        let Reference::Environment(variable) = reference else { return None };
        let reason = match (here.get(variable), programs.get(variable)) {
            (None, None) => Reason::Unset,
            (Some(_), None) => Reason::Later,
            (Some(ours), Some(theirs)) if ours != theirs => Reason::Changed,
            _ => return None,
        };
        Some(Unresolved { key, variable: variable.clone(), reason })
    };
    needed.into_iter().filter_map(told).collect()
}

impl Unresolved {
    /// The key of the deploy file.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong with it, without the key.
    pub(crate) fn why(&self) -> String {
        let Self { variable, reason, .. } = self;
        match reason {
            Reason::Unset => format!("{variable} is set neither here nor for the programs"),
            Reason::Later => format!("{variable} is set here, but the programs were started without it"),
            Reason::Changed => format!("the programs were started with another value of {variable}"),
        }
    }

    /// Whether the variable is set nowhere.
    pub(crate) fn is_unset(&self) -> bool {
        self.reason == Reason::Unset
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::{BuildContext, CertificateSource, Digest, Recipe, Source, Span, SshKeys, Tls};

    use super::*;
    use crate::fixture;

    #[test]
    fn only_what_the_programs_lack_or_have_otherwise_is_told_and_never_the_value() {
        let here = Environment::parse(b"SAME=a\0CHANGED=hunter2\0LATER=hunter3\0EMPTY=\0");
        let programs = Environment::parse(b"SAME=a\0CHANGED=hunter1\0CHANGED=hunter2\0THERE=b\0EMPTY=\0");
        let mut settings = fixture::release("v1").settings;
        for name in ["SAME", "CHANGED", "LATER", "THERE", "EMPTY"] {
            settings.secrets.insert(name.to_owned(), format!("env://{name}").parse().unwrap());
        }
        settings.secrets.insert("FILE".to_owned(), "file:///nowhere".parse().unwrap());
        settings.database = Some("env://DATABASE_URL".parse().unwrap());
        settings.proxy.tls = Some(Tls {
            certificate: CertificateSource::Own {
                certificate: "file:///nowhere".parse().unwrap(),
                key: "env://TLS_KEY".parse().unwrap(),
            },
            redirect: true,
            hsts: Span::default(),
        });
        let recipe = Recipe {
            secrets: [("npm".to_owned(), "env://LATER".parse().unwrap())].into(),
            ssh: [
                ("default".to_owned(), SshKeys::Agent),
                ("deploy".to_owned(), "env://SAME".parse().unwrap()),
                ("other".to_owned(), "env://DEPLOY_KEY".parse().unwrap()),
            ]
            .into(),
            ..Recipe::default()
        };
        let source = Source::Context(BuildContext { archive: Digest::of(b""), recipe: recipe.into() });
        let told = |expands: bool| {
            let built = if expands { Vec::new() } else { source.needed_secrets() };
            let unresolved = unresolved(&settings, built, expands, &here, &programs);
            unresolved.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let secrets = [
            "env.secret.CHANGED: the programs were started with another value of CHANGED",
            "env.secret.EMPTY: EMPTY is set neither here nor for the programs",
            "env.secret.LATER: LATER is set here, but the programs were started without it",
            "proxy.tls.key: TLS_KEY is set neither here nor for the programs",
        ];
        let built = [
            "builder.secrets.npm: LATER is set here, but the programs were started without it",
            "builder.ssh.other: DEPLOY_KEY is set neither here nor for the programs",
        ];
        let database = ["migrations.database: DATABASE_URL is set neither here nor for the programs"];
        let [own, tls] = [&secrets[..3], &secrets[3..]];
        assert_eq!(told(false), [&built, own, tls].concat());
        assert_eq!(told(true), [own, &database, tls].concat());
        assert!(!format!("{here:?}").contains("hunter"));
    }

    #[test]
    fn a_process_has_the_environment_that_it_was_started_with() {
        let own = Environment::of_process(std::process::id()).unwrap();
        assert_eq!(own.get("CARGO_PKG_NAME"), Some(OsStr::new("cutover-cli")));
        assert_eq!(own.get("CUTOVER_SURELY_NOT_SET"), None);
    }
}
