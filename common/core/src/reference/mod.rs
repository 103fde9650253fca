//! References to secret values. A reference travels through the journal; the value never does.

mod aws;
mod flaw;
mod needed;
mod sighting;
mod vault;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::aws::{AwsSecret, AwsVersion};
pub use self::flaw::Flaw;
pub use self::needed::NeededSecret;
pub use self::sighting::Sighting;
pub use self::vault::VaultSecret;

/// Where a secret value is found: by the person who deploys, who seals it to the program that needs it, or by that program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reference {
    /// `env://NAME`: a variable in the environment of the person who deploys.
    Environment(String),
    /// `file:///absolute/path`: the content of a file of the person who deploys, without its last line break.
    File(PathBuf),
    /// `cmd://program argument…`: what a command prints that the person who deploys runs, without its last line break.
    Command(String),
    /// `vault://mount/path#key`: a field of a secret in the key-value store of Vault or OpenBao.
    Vault(Box<VaultSecret>),
    /// `aws-sm://name#key`: a secret in AWS Secrets Manager, or a field of one.
    Aws(Box<AwsSecret>),
}

/// A text that is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// The scheme is not one that is known, or there is none.
    #[error(
        "a secret must be a reference, such as env://NAME, file:///path, cmd://COMMAND, vault://mount/path#key or aws-sm://name#key; the text given is none (it is not repeated here, as it may be the secret itself)"
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
    /// What stands after `cmd://` can't be a command.
    #[error("there is no command after cmd://, or it isn't a single line")]
    Command,
    /// What stands after `vault://` is no field of a secret.
    #[error("'vault://{text}' is no reference: {flaw}")]
    Vault {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// What stands after `aws-sm://` is no secret.
    #[error("'aws-sm://{text}' is no reference: {flaw}")]
    Aws {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

impl Reference {
    /// Whether its value comes from a store of secrets, so that the operator's list must allow it.
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Vault(_) | Self::Aws(_))
    }

    /// Whether its value is the person's who deploys: found where `cutover` runs, and nowhere else.
    pub const fn is_persons(&self) -> bool {
        !self.is_remote()
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let Some((scheme, rest)) = text.split_once("://") else { return Err(InvalidReference::Scheme) };
        let own = rest.to_owned();
        match scheme {
            "env" if is_variable(rest) => Ok(Self::Environment(own)),
            "env" => Err(InvalidReference::Variable(own)),
            "file" if rest.starts_with('/') => Ok(Self::File(PathBuf::from(own))),
            "file" => Err(InvalidReference::Path(own)),
            "cmd" if is_command(rest) => Ok(Self::Command(own)),
            "cmd" => Err(InvalidReference::Command),
            "vault" => rest
                .parse()
                .map(|secret| Self::Vault(Box::new(secret)))
                .map_err(|flaw| InvalidReference::Vault { text: own, flaw }),
            "aws-sm" => rest
                .parse()
                .map(|secret| Self::Aws(Box::new(secret)))
                .map_err(|flaw| InvalidReference::Aws { text: own, flaw }),
            _ => Err(InvalidReference::Scheme),
        }
    }
}

/// Whether this can be a command: something, on one line.
fn is_command(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(char::is_control)
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
            Self::Command(command) => write!(f, "cmd://{command}"),
            Self::Vault(secret) => write!(f, "vault://{secret}"),
            Self::Aws(secret) => write!(f, "aws-sm://{secret}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_as_written() {
        for text in [
            "env://DATABASE_URL",
            "file:///run/secrets/url",
            "cmd://op read 'op://Shop/db/password one'",
            "vault://kv/shop#password",
            "vault://team/kv/shop/db.main?version=3#db-password.old",
            "aws-sm://prod/shop",
            "aws-sm:///prod/shop#password",
            "aws-sm://prod/shop?version=EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE&region=eu-west-1#password",
            "aws-sm://prod/shop?stage=AWSPREVIOUS",
            "aws-sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/shop-a1b2c3?version=1#password",
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_pasted_secret_is_refused_without_being_repeated() {
        let error = "postgres://app:hunter2@db/app".parse::<Reference>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!("env://2X".parse::<Reference>().is_err());
        assert!("file://relative".parse::<Reference>().is_err());
        assert!("cmd:// ".parse::<Reference>().is_err());
        assert!("cmd://a\nb".parse::<Reference>().is_err());
    }

    #[test]
    fn what_a_store_could_take_for_something_else_is_refused() {
        let flaw = |text: &str| match text.parse::<Reference>().unwrap_err() {
            InvalidReference::Vault { flaw, .. } | InvalidReference::Aws { flaw, .. } => flaw,
            other => unreachable!("{text}: {other}"),
        };
        let value = |setting, value: &str| Flaw::Value { setting, value: value.to_owned() };
        for (text, expected) in [
            ("vault://kv/shop", Flaw::NoKey),
            ("vault://kv/shop#", Flaw::NoKey),
            ("vault://kv#key", Flaw::NoPath),
            ("vault://#key", Flaw::NoPath),
            ("vault://kv/#key", Flaw::Part(String::new())),
            ("vault:///kv/shop#key", Flaw::Part(String::new())),
            ("vault://kv/../sys/seal#key", Flaw::Part("..".to_owned())),
            ("vault://kv/%2e%2e/sys#key", Flaw::Character('%')),
            ("vault://kv/shop two#key", Flaw::Character(' ')),
            ("vault://kv/shop*#key", Flaw::Character('*')),
            ("vault://kv/shop#key?version=3", Flaw::Character('?')),
            ("vault://kv/shop#a#b", Flaw::Character('#')),
            ("vault://kv/shop?version=0#key", value("version", "0")),
            ("vault://kv/shop?version=x#key", value("version", "x")),
            ("vault://kv/shop?version=1&version=2#key", Flaw::Twice("version".to_owned())),
            ("vault://kv/shop?stage=X#key", Flaw::Setting("stage".to_owned())),
            ("aws-sm://", Flaw::NoName),
            ("aws-sm://#key", Flaw::NoName),
            ("aws-sm://prod:shop", Flaw::Character(':')),
            ("aws-sm://shop?region=EU", value("region", "EU")),
            ("aws-sm://shop?version=a&stage=b", Flaw::VersionAndStage),
            ("aws-sm://shop?versionn=a", Flaw::Setting("versionn".to_owned())),
            ("aws-sm://arn:aws:s3:eu-west-1:1:secret:x", Flaw::Arn),
            (
                "aws-sm://arn:aws:secretsmanager:eu-west-1:1:secret:x?region=eu-west-2",
                Flaw::Setting("region".to_owned()),
            ),
        ] {
            assert_eq!(flaw(text), expected, "{text}");
        }
    }
}
