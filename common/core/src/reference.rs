//! References to secret values. A reference travels through the journal; the value never does.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a secret value is found by the program that needs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reference {
    /// `env://NAME`: a variable in the environment of the program that needs the value.
    Environment(String),
    /// `file:///absolute/path`: the content of a file, without its last line break.
    File(PathBuf),
}

/// A text that is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// The scheme is not one that is known, or there is none.
    #[error(
        "a secret must be a reference, such as env://NAME or file:///path; the text given is neither (it is not repeated here, as it may be the secret itself)"
    )]
    Scheme,
    /// What stands after `env://` can't be a variable's name.
    #[error(
        "'{0}' is not a name of an environment variable: letters, digits and underscores, no digit first"
    )]
    Variable(String),
    /// What stands after `file://` is no absolute path.
    #[error("'{0}' is not an absolute path: write file:///path/to/file")]
    Path(String),
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if let Some(name) = text.strip_prefix("env://") {
            return if is_variable(name) {
                Ok(Self::Environment(name.to_owned()))
            } else {
                Err(InvalidReference::Variable(name.to_owned()))
            };
        }
        match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Ok(Self::File(PathBuf::from(path))),
            Some(path) => Err(InvalidReference::Path(path.to_owned())),
            None => Err(InvalidReference::Scheme),
        }
    }
}

/// Whether `name` can name an environment variable (POSIX.1-2017, 8.1).
pub(crate) fn is_variable(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env://{name}"),
            Self::File(path) => write!(f, "file://{}", path.display()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_as_written() {
        for text in ["env://DATABASE_URL", "file:///run/secrets/url"] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_pasted_secret_is_refused_without_being_repeated() {
        let error = "postgres://app:hunter2@db/app".parse::<Reference>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!("env://2X".parse::<Reference>().is_err());
        assert!("file://relative".parse::<Reference>().is_err());
    }
}
