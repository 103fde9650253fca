//! The environment that says where stores of secrets are, and how they are entered.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::Secret;

/// Variables of an environment.
#[derive(Clone, Debug)]
pub(crate) enum Variables {
    /// That of this process, as it is when it is asked.
    Process,
    /// Others.
    Given(BTreeMap<String, Secret>),
}

impl Variables {
    /// The value of a variable, whatever it is.
    pub(crate) fn get(&self, name: &str) -> Option<OsString> {
        match self {
            Self::Process => std::env::var_os(name),
            Self::Given(variables) => variables.get(name).map(|value| value.expose().into()),
        }
    }

    /// The text of a variable; an empty one is as good as none, and so is one that is no text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.into_string().ok().filter(|text| !text.is_empty())
    }

    /// The same, of a variable that holds a secret.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }
}
